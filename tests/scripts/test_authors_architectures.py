"""The seven architectures of the authors' code of 2021, from files of weights as it writes them:
adopted, attacked to the end, and evaluated in one table, beside a sequential network.

hkthirano/MedicalAI-UAP, utils/model.py and train_model.py: a network of Keras' without its top,
global average pooling, one dense layer; ModelCheckpoint with save_weights_only. The weights here
are random.

A deep network takes seconds to build. So each is built only twice, by the test and when it is
adopted: make_uap.py and evaluate.py run in this process, on the network that was adopted.
"""

import contextlib
import functools
import io
import json
import os
from typing import NamedTuple

import numpy as np
import pytest

import checkout
import evaluate
import make_uap
from data.generate import generate
from utils.attack.gradients import graph as attack_graph
from utils.classifier import adopt, foreign_network
from utils.classifier.architectures import MIN_IMAGE_SIZE, build_classifier
from utils.classifier.frameworks import K, keras, layers, tf
from utils.classifier.session import set_first_values, start_session
from utils.common.csv_files import write_csv
from utils.evaluation import predict_rows
from utils.evaluation.up_to_date import find_work
from utils.evaluation.what_to_predict import find_uaps, plan_rows
from utils.images.isic2018 import ISIC2018_CLASSES, ISIC2018_IMAGES, isic2018_labels
from utils.images.norms import norm
from utils.images.pixels import to_model_input
from utils.images.reading import read_images
from utils.report import report

# And how many of the layers go through tf.gradients.
NETWORKS = {
    "InceptionV3": {}, "VGG16": {}, "VGG19": {}, "ResNet50": {}, "InceptionResNetV2": {},
    "DenseNet121": {}, "DenseNet169": {}, "sequential": {"Flatten": 1, "Dense": 1}}
ATTACKS = {"deepfool": "ilsvrc2012", "sgd": "isic2018"}  # and the images of each
IMAGES = 2  # that a UAP is made from
TEST_IMAGES = 2


class Attacked(NamedTuple):
    """What was seen of one network. f: logits (n, K) of AttackGraph. keras_f: those of the network
    before its weights went into a file. w, plain_w: the gradient of the difference of two logits,
    (h, w, 3), by AttackGraph and by tf.gradients of the Keras model. slow: the layers that go
    through tf.gradients. classes: by attack, the names of the classes that Keras predicts for the
    test images, clean and under the UAP."""

    f: np.ndarray
    keras_f: np.ndarray
    w: np.ndarray
    plain_w: np.ndarray
    slow: dict
    classes: dict


def sequential():
    """A small network as tutorials have it."""
    return keras.Sequential([
        layers.Conv2D(6, 3, strides=2, activation="relu", input_shape=(32, 32, 3)),
        layers.MaxPooling2D(), layers.BatchNormalization(), layers.Flatten(),
        layers.Dense(10, activation="tanh"), layers.Dropout(0.5),
        layers.Dense(len(ISIC2018_CLASSES), name="logits"), layers.Activation("softmax")])


def authors_network(built):
    """The same network with the layers' names that the authors' code gives its head."""
    x = layers.GlobalAveragePooling2D()(built.get_layer("features").input)
    return keras.Model(built.input, layers.Dense(len(ISIC2018_CLASSES), activation="softmax")(x))


def random_values(weights):
    """An array for each variable, by its name, that keeps what goes through the layers in size."""
    random, values = np.random.RandomState(0), {}
    for weight in weights:
        shape = weight.shape.as_list()
        if len(shape) > 1:
            value = random.normal(size=shape, scale=np.prod(shape[:-1]) ** -0.5)
        elif "gamma" in weight.name or "variance" in weight.name:
            value = random.uniform(0.8, 1.2, shape)
        else:
            value = random.uniform(-0.1, 0.1, shape)
        values[weight.name] = np.float32(value)
    return values


@contextlib.contextmanager
def known_to_keras(values):
    """Let Keras 2.2.4's own writer take these values; it would run the session for each layer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(K, "batch_get_value", lambda weights: [values[w.name] for w in weights])
        yield


def run(main, *words):
    """Run a script in this process, and return what it printed."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr("sys.argv", ["script", *words])
        main()
    return said.getvalue()


def adopted_network(name, built, path):
    """Adopt a file by the command of models/README.md: the Keras model that was built for it."""
    networks = []

    def build(*arguments):
        networks.append(build_network(*arguments))
        values = networks[0].get_weights()
        stack.enter_context(known_to_keras(
            {weight.name: value for weight, value in zip(networks[0].weights, values)}))
        return networks[0]

    build_network = foreign_network.build_network
    options = [] if name == "sequential" else [
        "--model", name, "--image-size", str(MIN_IMAGE_SIZE[name])]
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(foreign_network, "build_classifier", lambda *_: built)
        patch.setattr(foreign_network, "build_network", build)
        run(adopt.main, path, "--name", f"{name}-authors", "--preprocessing", "study", "--resize",
            "nearest", "--dataset", "isic2018", "--split", "melanoma", *options)
    return networks[0]


def attack_and_predict(name, network, graph):
    """Make the UAPs of a network, and predict the rows of their evaluation."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (make_uap, predict_rows):
            patch.setattr(module, "start_session", lambda *_, **__: None)
            patch.setattr(module, "load_classifier", lambda _: network)
        patch.setattr(attack_graph, "AttackGraph", lambda *_: graph)
        for attack, source in ATTACKS.items():
            # Under names of their own: one UAP of the same name for each network would be tried on
            # the others, too.
            run(make_uap.main, "--model-file", f"models/{name}-authors.h5", "--source", source,
                "--attack", attack, "--num-images", str(IMAGES), "--name", f"{attack}-{name}")
        patch.setattr("sys.argv", ["evaluate.py"])
        settings = evaluate.parse_arguments()
        evaluate.bring_up_to_date(settings, find_work(settings, plan_rows(
            settings, find_uaps(settings))))


def built_and_saved(name, path, x):
    """Write the file of a network with random weights. Returns the Keras model, and its logits of x
    with these weights."""
    start_session(0, inference=True)
    if name == "sequential":
        built = model = sequential()
        write = model.save
    else:
        built = build_classifier(name, len(x[0]), len(ISIC2018_CLASSES))
        model = authors_network(built)
        write = model.save_weights
    values = random_values(model.weights)
    head = [(ours, theirs) for ours, theirs in zip(built.weights, model.weights)
            if ours is not theirs]
    set_first_values([(weight, values[weight.name]) for weight in model.weights]
                     + [(ours, values[theirs.name]) for ours, theirs in head])
    with known_to_keras(values):
        write(path)
    logits = keras.Model(built.input, built.get_layer("logits").output)
    return built, logits.predict_on_batch(x)


def classes_by_keras(network, name, attack):
    """The classes of the test images, clean and under a UAP, as names."""
    files = [row["file"] for row in checkout.read_csv("melanoma", "test_pre.csv",
                                                      header=["file", "label"])]
    x = to_model_input(read_images([os.path.join("data", ISIC2018_IMAGES, file) for file in files],
                                   int(network.inputs[0].shape[1]), "nearest", "reading"))
    v = np.load(os.path.join(folder_of(name, attack), "uap.npy"))
    return [[ISIC2018_CLASSES[k] for k in network.predict_on_batch(each).argmax(axis=1)]
            for each in (x, x + v)]


def folder_of(name, attack):
    return os.path.join("results", f"{name}-authors", f"{attack}-{name}")


def attack(name):
    """Write a network's file, adopt it, make its UAPs and their rows, below the current folder."""
    size = MIN_IMAGE_SIZE.get(name, 32)
    x = np.random.RandomState(1).uniform(-1, 1, (2, size, size, 3)).astype(np.float32)
    built, keras_f = built_and_saved(name, f"{name}.h5", x)
    network = adopted_network(name, built, f"{name}.h5")
    graph = attack_graph.AttackGraph(network)

    f = graph.logits(x)
    units, top = np.eye(len(ISIC2018_CLASSES), dtype=np.float32), int(f[0].argmax())
    other = (top + 1) % len(units)
    plain_w = K.get_session().run(
        tf.gradients(network.output.op.inputs[0], network.inputs[0], units[[other]] - units[top]),
        {network.inputs[0]: x[:1]})[0][0]
    w = graph.boundary_gradients_to_leave(x[0], top)[1][other]

    attack_and_predict(name, network, graph)
    return Attacked(f, keras_f, w, plain_w, graph.slow_layers(), {
        each: classes_by_keras(network, name, each) for each in ATTACKS})


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A function from a network's name to what was seen of it; in a folder with all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("authors"))
        generate("data", isic_images=len(ISIC2018_CLASSES) + TEST_IMAGES, natural_images=IMAGES)
        labels = list(isic2018_labels("data").items())
        for side, rows in (("train", labels[TEST_IMAGES:]), ("test", labels[:TEST_IMAGES])):
            write_csv(os.path.join("melanoma", side + "_pre.csv"), None, rows)
        yield functools.lru_cache(None)(attack)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_adopted_network_has_the_logits_of_keras_and_the_gradients_of_tensorflow(attacked, name):
    seen = attacked(name)
    np.testing.assert_allclose(seen.f, seen.keras_f, rtol=1e-3,
                               atol=1e-3 * np.abs(seen.keras_f).max())
    assert np.linalg.norm(seen.w - seen.plain_w) < 1e-3 * np.linalg.norm(seen.plain_w)
    assert seen.slow == NETWORKS[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_its_uaps_are_made_to_the_end(attacked, name):
    attacked(name)
    for attack in ATTACKS:
        folder = folder_of(name, attack)
        with open(os.path.join(folder, "run.json")) as file:
            record = json.load(file)
        assert record["visits"] == IMAGES and record["steps"]["made"] > 0
        v, bound = np.load(os.path.join(folder, "uap.npy")), record["norm"]["bound"]
        assert norm(v, np.inf) <= bound * (1 + 1e-6)
    # Of random weights, DeepFool's step may change no label, and is dropped; SGD keeps every step.
    assert norm(v, np.inf) > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_its_rows_are_what_keras_predicts(attacked, name):
    for attack, (clean, uap) in attacked(name).classes.items():
        rows = checkout.read_csv(folder_of(name, attack), "predictions.csv")
        assert [row["clean"] for row in rows] == clean and [row["uap"] for row in rows] == uap


def test_all_have_their_rows_in_one_table(attacked):
    seen = {name: attacked(name) for name in NETWORKS}
    with pytest.MonkeyPatch.context() as patch:  # its pictures take longer than a deep network
        patch.setattr(report, "write_report", lambda *_, **__: "no report")
        printed = run(evaluate.main)
    table = {(row["model"], row["run"]): row
             for row in checkout.read_csv("results", "table.csv") if row["rate"]}
    assert len(table) == len(NETWORKS) * len(ATTACKS)
    for name in NETWORKS:
        for attack, (clean, uap) in seen[name].classes.items():
            row = table[f"{name}-authors", f"{attack}-{name}"]
            assert float(row["rate"]) == pytest.approx(np.mean(np.array(clean) != uap))
        assert f"{name}-authors" in printed
