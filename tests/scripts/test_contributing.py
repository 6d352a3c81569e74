"""CONTRIBUTING.md's lists of places are true: a new attack, architecture and data set are added in
the places that it names, and in no other, to a copy of the project."""

import os
import shutil

import numpy as np
import pytest

import checkout

MI_FGSM = '''"""The momentum iterative FGSM (Dong et al., CVPR 2018, Algorithm 1)."""

import numpy as np

from utils.attack.step import Step

STEPS, DECAY, STEP_SIZE = 4, 1.0, 0.01


def mi_fgsm(x, loss_gradient, label, decay):
    """Take up to STEPS steps along the sign of the accumulated gradient. Returns a Step."""
    dv, g, path = np.zeros_like(x), np.zeros_like(x), []
    for _ in range(STEPS):
        f, gradient = loss_gradient(x + dv, label)
        if gradient is None:
            return Step(dv, path=path, class_after=int(f.argmax()))
        path.append(label)
        g = decay * g + gradient / np.abs(gradient).sum()  # equation 6
        dv = dv + np.float32(STEP_SIZE) * np.sign(g).astype(np.float32)  # equation 7
    return Step(dv, path=path, class_after=None)
'''
TINY_NETWORK = '''"""A small network with the arguments of those in keras_applications."""


def TinyNetwork(include_top, weights, input_shape, backend, layers, models, utils):
    """Two convolutions."""
    image = layers.Input(shape=input_shape)
    x = layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(image)
    return models.Model(image, layers.Conv2D(16, 3, activation="relu", name="second")(x))
'''
NOISE = '''"""Images of noise in two classes, as an example of a data set that a command obtains."""

import os

import numpy as np
from PIL import Image


def count_ready(settings, prepared):
    """Count the images that are ready."""
    return prepared.images if prepared else 0


def make(settings, work):
    """Write the images below `work`."""
    random = np.random.RandomState(0)
    for number in range(20):
        folder = os.path.join(work, "noise", "ab"[number % 2])
        os.makedirs(folder, exist_ok=True)
        pixels = random.randint(0, 128 + 127 * (number % 2), (40, 40, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(os.path.join(folder, f"{number}.png"))
    return {"images": 20, "seed": None}
'''


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the project to add to, with generated data."""
    folder = str(tmp_path_factory.mktemp("contributed"))
    checkout.make(folder)
    return folder


def add_file(folder, path, text):
    with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
        file.write(text)


def insert(folder, path, anchor, text):
    """Put text before the one line of a file that begins with `anchor`."""
    with open(os.path.join(folder, path), encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if line.startswith(anchor)]
    assert len(places) == 1, f"{path}: {len(places)} lines begin with {anchor!r}"
    lines[places[0]:places[0]] = [text]
    add_file(folder, path, "".join(lines))


def run(folder, *words):
    # in a process of its own: the server of forks has imported the files as they were
    code, output, errors = checkout.script(folder, *words, PYTHONDONTWRITEBYTECODE="1")
    assert code == 0, errors
    return output


def add_option_of_mi_fgsm(copy):
    insert(copy, "utils/attack/settings.py", "    batch_size: int",
           "    decay: Optional[float] = None\n")
    insert(copy, "utils/attack/settings.py", '              "step_size": "step-"',
           '              "decay": "decay-",\n')
    insert(copy, "make_uap.py", '    add("--estimate"',
           '    add("--decay", type=arguments.positive, help="of the momentum of mi-fgsm")\n')


def test_a_new_attack_takes_the_three_places_that_are_named_and_its_option_three_lines(
        copy, trained):
    for name in ("VGG16.h5", "VGG16.json", "VGG16"):
        source = os.path.join(trained, "models", name)
        target = os.path.join(copy, "models", name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        (shutil.copytree if os.path.isdir(source) else shutil.copy)(source, target)
    fgsm = ("make_uap.py", "--model-file", "models/VGG16.h5", "--attack", "fgsm",
            "--source", "ilsvrc2012", "--num-images", "2")
    assert "2 shown in 1 passes" in run(copy, *fgsm)
    add_file(copy, "utils/attack/mi_fgsm.py", MI_FGSM)
    insert(copy, "utils/attack/settings.py", '    "sgd":',
           '    "mi-fgsm": AttackOptions("four sign steps with momentum for each image",\n'
           '                             takes=OF_IMAGES | {"decay"}),\n')
    add_option_of_mi_fgsm(copy)
    insert(copy, "utils/attack/attacks.py", '    if settings.attack == "fgsm":', '''\
    if settings.attack == "mi-fgsm":
        from utils.attack.mi_fgsm import DECAY, mi_fgsm

        gradients = remember_last_answer(classifier.loss_gradient_to_leave if target is None
                                         else classifier.loss_gradient_to_reach)
        decay = settings.decay or DECAY
        return gradients, lambda x, label: mi_fgsm(x, gradients, label, decay)
''')
    output = run(copy, "make_uap.py", "--model-file", "models/VGG16.h5", "--attack", "mi-fgsm",
                 "--source", "ilsvrc2012", "--num-images", "4")
    assert "4 shown in 1 passes" in output
    v = np.load(os.path.join(copy, "results", "VGG16", "ilsvrc2012-mi-fgsm-images-4", "uap.npy"))
    assert v.shape == (32, 32, 3)
    assert "mi-fgsm" in run(copy, "evaluate.py")
    run(copy, "make_uap.py", "--model-file", "models/VGG16.h5", "--attack", "mi-fgsm", "--source",
        "ilsvrc2012", "--num-images", "2", "--target", "MEL", "--decay", "0.5")
    assert os.path.exists(os.path.join(
        copy, "results", "VGG16", "ilsvrc2012-mi-fgsm-images-2-target-MEL-decay-0.5", "uap.npy"))
    assert "finished; --restart" in run(copy, *fgsm)  # a run from before is the same run
    assert "mi-fgsm: four sign steps with momentum" in " ".join(
        run(copy, "make_uap.py", "--help").split())
    code, _, errors = checkout.script(copy, *fgsm, "--decay", "0.5", PYTHONDONTWRITEBYTECODE="1")
    assert code == 2 and "--attack fgsm knows none of --decay" in errors


def test_a_new_architecture_takes_the_two_places_that_are_named(copy):
    add_file(copy, "utils/classifier/tiny_network.py", TINY_NETWORK)
    insert(copy, "utils/classifier/keras_networks.py", '    "VGG16":',
           '    "TinyNetwork": KerasNetwork("utils.classifier.tiny_network", 16, "", "", None),\n')
    output = run(copy, "train_model.py", "--model", "TinyNetwork", "--weights", "none",
                 "--image-size", "16", "--epochs", "1", "--limit", "14")
    assert "wrote models/TinyNetwork.h5" in output
    run(copy, "make_uap.py", "--model-file", "models/TinyNetwork.h5", "--source", "ilsvrc2012",
        "--num-images", "2")


def test_a_new_data_set_takes_the_two_places_that_are_named(copy):
    add_file(copy, "data/noise.py", NOISE)
    insert(copy, "data/prepare.py", "from data import", "from data import noise\n")
    insert(copy, "data/prepare.py", '    "isic2018":', '    "noise": Source(noise, "nothing"),\n')
    assert "ready: 20 images" in run(copy, "-m", "data.prepare", "noise")
    assert "20 images in 2 classes: a b" in run(
        copy, "train_model.py", "--model", "VGG16", "--weights", "none", "--image-size", "32",
        "--epochs", "1", "--dataset", "noise")
