"""Every bad argument and every missing or wrong file: one clear message, exit code 2."""

import fcntl
import glob
import importlib
import io
import json
import os
import shutil

import h5py
import numpy as np
import pytest

import checkout
from utils.common.hashes import sha256_of_file

TRAIN = "train_model.py --model VGG16 --name new --weights none --image-size 32"
UAP = "make_uap.py --model-file models/VGG16.h5"
ILSVRC = UAP + " --source ilsvrc2012"
GD_UAP = "make_uap.py --attack gd-uap --source none"
EVALUATE = "evaluate.py"
EVALUATE_ONE = "evaluate.py --uap results/VGG16/ilsvrc2012/uap.npy"
INPUT = "data/isic2018/ISIC2018_Task3_Training_Input/"
IMAGE = INPUT + "ISIC_9000003.jpg"
GROUND_TRUTH = ("data/isic2018/ISIC2018_Task3_Training_GroundTruth/"
                "ISIC2018_Task3_Training_GroundTruth.csv")
RUN = "results/VGG16/ilsvrc2012/"
CHECKPOINT = "results/VGG16/.ilsvrc2012.partial/checkpoint.npz"
OTHER_SCALING = {"offset": 0, "scale": 255}

# What the command line alone shows: the command, words of the message.
PARSED = [
    ("train_model.py", "--model"),
    ("train_model.py --model VGG21", "VGG16"),
    (TRAIN + " --batch-size many", "whole number"),
    (TRAIN + " --limit 0", "1 or more"),
    (TRAIN + " --epochs 0", "1 or more"),
    (TRAIN + " --learning-rate nan", "above 0"),
    (TRAIN + " --learning-rate -1", "above 0"),
    (TRAIN + " --seed x", "whole number"),
    (TRAIN + " --image-size 31", "at least 32"),
    (TRAIN + " --recipe best", "follow-up"),
    (TRAIN + " --weights w.h5", "w.h5 no such file"),
    (TRAIN + " --dataset ../data", "expected a plain name"),
    (TRAIN + " --dataset chest_xray --name VGG16", "study's own models"),
    (TRAIN + " --dataset chest_xray --split lesion", "lesion"),
    (UAP, "--source"),
    (ILSVRC + " --source-dir data", "not allowed"),
    (ILSVRC + " --passes 0", "1 or more"),
    (ILSVRC + " --norm-ratio 0", "above 0"),
    (ILSVRC + " --norm-ratio inf", "above 0"),
    (ILSVRC + " --checkpoint-seconds -1", "above 0"),
    (ILSVRC + " --norm 3", "inf"),
    (ILSVRC + " --target-fooling-rate 1.5", "up to 1"),
    (ILSVRC + " --target-fooling-rate 0.8", "--passes 2 or more"),
    (ILSVRC + " --attack gd-uap", "--source none"),
    (ILSVRC + " --precision bfloat16", "--attack deepfool knows none of --precision"),
    (ILSVRC + " --attack fgsm --precision float16", "float32 bfloat16"),
    (ILSVRC + " --weights w.h5", "--backbone belong together"),
    (UAP + " --source none --attack sgd", "--attack gd-uap"),
    (GD_UAP + " --model-file m.h5 --target NV", "knows none of --target"),
    (GD_UAP + " --model-file m.h5 --weights w.h5", "--backbone belong together"),
    (GD_UAP + " --backbone VGG16", "--image-size belong together"),
    ("make_uap.py --attack sgd --source ilsvrc2012 --backbone VGG16 --weights w.h5 "
     "--image-size 32", "--backbone --attack gd-uap belong together"),
    ("evaluate.py --limit 0", "1 or more"),
    (EVALUATE_ONE, "--model-file"),
    ("evaluate.py --uap-unit 255", "--uap-unit --norm-bound are of a --uap"),
    (EVALUATE_ONE + " --model-file m.h5 --uap-unit 128", "model 255"),
    (EVALUATE_ONE + " --model-file m.h5 --norm-bound 0", "above 0"),
    (EVALUATE_ONE + " --model-file m.h5 --norm 3", "2 or inf"),
]


def assert_one_message(errors, expected):
    assert "Traceback" not in errors
    message = errors[errors.rindex("error: "):]
    assert message.count("\n") == 1
    assert [word for word in expected.split() if word not in message] == [], message


@pytest.mark.parametrize("command, expected", PARSED)
def test_a_wrong_command_line_gives_one_message_and_exit_code_2(
        command, expected, monkeypatch, capsys):
    words = command.split()
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as end:
        importlib.import_module(words[0][:-len(".py")]).parse_arguments()
    assert end.value.code == 2
    assert_one_message(capsys.readouterr().err, expected)


# Each of these returns the function that damages a copy of the project.

def write(path, content):
    def damage():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    return damage


def save_npz(path, **arrays):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    np.savez(path, **arrays)


def remove(path):
    return lambda: shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def link(target, path):
    """Put a link in the place of a file. Reading /proc/self/mem from its start fails with EIO."""
    def damage():
        if os.path.exists(path):
            os.remove(path)
        os.symlink(target, path)
    return damage


def truncate(pattern):
    def damage():
        for path in glob.glob(pattern):
            os.truncate(path, os.path.getsize(path) // 2)
    return damage


def edit(path, change):
    """change: function that changes the values of a JSON file."""
    def damage():
        with open(path) as file:
            values = json.load(file)
        change(values)
        write(path, json.dumps(values))()
    return damage


def other_model(*ends):
    """Put the files of the other model in the place of the first's."""
    def damage():
        for end in ends:
            remove("models/VGG16" + end)()
            copy = shutil.copytree if end == "" else os.link
            copy("models/VGG16-other" + end, "models/VGG16" + end)
    return damage


def broken_test_image():
    with open("models/VGG16/test.csv") as file:
        truncate(INPUT + file.read().split(",")[0])()


def weights_that_are_nan():
    """In the file of a model, whose description is of it."""
    with open("models/VGG16.h5", "rb") as file:
        content = io.BytesIO(file.read())
    with h5py.File(content, "r+") as file:
        layer = file["model_weights/block5_conv3"]
        layer[layer.attrs["weight_names"][0]][...] = np.nan
    os.remove("models/VGG16.h5")
    write("models/VGG16.h5", content.getvalue())()
    edit("models/VGG16.json", lambda description: description["weights"].update(
        sha256=sha256_of_file("models/VGG16.h5")))()


def weights_in_another_file():
    with h5py.File("w.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink("models/VGG16.h5", "model_weights")


LOCKED = []  # the open files of hold(), whose locks last as long


def hold(path):
    """Lock a file, as another run that writes there does."""
    def damage():
        LOCKED.append(open(path, "w"))
        fcntl.flock(LOCKED[-1], fcntl.LOCK_EX)
    return damage


# The command, what is done to the files before, words of the message.
CASES = {
    "no data": (TRAIN + " --data-dir nowhere", None, "nowhere data/README.md"),
    "no image folder": (TRAIN, remove(INPUT), "Training_Input no such folder"),
    "a broken image": (TRAIN, truncate(IMAGE), "ISIC_9000003.jpg cannot be read"),
    "an image that the disk does not give": (
        TRAIN, link("/proc/self/mem", IMAGE), "ISIC_9000003.jpg cannot be read (Input/output"),
    "an image that is missing": (
        TRAIN, link("nowhere.jpg", IMAGE), "ISIC_9000003.jpg cannot be read (No such file"),
    "a source image that the disk does not give": (
        ILSVRC, link("/proc/self/mem", "data/ilsvrc2012/x.jpg"), "x.jpg (Input/output error)"),
    "ground truth that is no text": (TRAIN, write(GROUND_TRUTH, b"\xff\xfe\0"), "GroundTruth.csv"),
    "unknown split": (TRAIN + " --split patient", None, "lesion"),
    "a file for a models folder": (
        TRAIN + " --models-dir README.md/models", None, "README.md/models cannot be written"),
    "weights that are text": (TRAIN + " --weights README.md", None, "README.md not an h5 file"),
    "weights in another file": (
        TRAIN + " --weights w.h5", weights_in_another_file, "w.h5 model_weights link"),
    "images that fit into no memory": (
        TRAIN.replace("32", "100000"), None, "--image-size 100000 GB"),
    "a damaged checkpoint": (
        TRAIN, write("models/new/checkpoint.npz", "PK"), "checkpoint.npz --restart"),
    "a checkpoint of earlier code": (
        TRAIN, lambda: save_npz("models/new/checkpoint.npz", header=json.dumps(
            {"identity": {}, "progress": {}})), "checkpoint.npz format 1 --restart"),
    "a model that another run is writing": (
        TRAIN, hold("models/.new.lock"), "new is being written by another run"),
    "unknown source": (UAP + " --source cifar10", None, "ilsvrc2012"),
    "unknown target": (ILSVRC + " --target CAT", None, "MEL NV"),
    "a file for a results folder": (
        ILSVRC + " --results-dir README.md/results", None, "README.md/results cannot be written"),
    "source without images": (UAP + " --source-dir utils", None, "utils no image"),
    "fewer images than asked for": (ILSVRC + " --num-images 7", None, "6 images 7"),
    "nothing but broken images": (UAP + " --source open_images_v5 --restart",
                                  truncate("data/open_images_v5/test/*"), "cannot be read"),
    "split changed since training": (
        UAP + " --source isic2018", write("models/VGG16/train.csv", "a.jpg,MEL\n"),
        "train.csv not the train images"),
    "a damaged checkpoint of a UAP": (
        ILSVRC, write(CHECKPOINT, "PK"), "checkpoint.npz --restart"),
    "a run that another one is writing": (
        ILSVRC + " --name x", hold("results/VGG16/.x.lock"), "x is being written by another run"),
    "missing weights of a backbone": (
        GD_UAP + " --backbone VGG16 --weights w.h5 --image-size 32", None,
        "w.h5 no such weights file"),
    "too small a backbone": (
        GD_UAP + " --backbone InceptionV3 --weights README.md --image-size 32", None,
        "takes 75 or more"),
    "missing model": ("make_uap.py --model-file models/x.h5 --source isic2018", None,
                      "models/x.h5 train_model.py"),
    "model without description": (ILSVRC, remove("models/VGG16.json"), "VGG16.json"),
    "description that is no text": (
        ILSVRC, write("models/VGG16.json", b"\xff\xfe\0"), "VGG16.json JSON"),
    "description nested 100,000 deep": (ILSVRC, write(
        "models/VGG16.json", "[" * 100000 + "]" * 100000), "VGG16.json JSON nested"),
    "description of a size that is no integer": (ILSVRC, edit(
        "models/VGG16.json", lambda record: record.update(image_size=32.0)),
        "VGG16.json image_size: 32.0 'integer'"),
    "description of a size of 400 digits": (ILSVRC, edit(
        "models/VGG16.json", lambda record: record.update(image_size=10 ** 400)),
        "VGG16.json JSON integer digits"),
    "description without image size": (
        ILSVRC, write("models/VGG16.json", "{}"), "architecture required"),
    "description of an unknown architecture": (ILSVRC, edit(
        "models/VGG16.json", lambda record: record.update(architecture="VGG21")), "VGG21 VGG16"),
    "description of images that fit into no memory": (ILSVRC, edit(
        "models/VGG16.json", lambda record: record.update(image_size=100000)),
        "VGG16.json 100000 GB"),
    "weights that are no numbers": (ILSVRC + " --name x", weights_that_are_nan,
                                    "block5_conv3 no numbers"),
    "evaluated weights that are no numbers": (
        EVALUATE_ONE + " --allow-mismatch --model-file models/VGG16.h5", weights_that_are_nan,
        "block5_conv3 no numbers"),
    "description of another scaling": (ILSVRC, edit(
        "models/VGG16.json", lambda record: record.update(scaling=OTHER_SCALING)), "scaled"),
    "description of other weights": (ILSVRC, other_model(".h5"), "SHA-256"),
    "nothing to evaluate": ("evaluate.py --results-dir nowhere", None, "nowhere make_uap.py"),
    "a missing UAP": ("evaluate.py --uap x.npy --model-file models/VGG16.h5", None, "x.npy"),
    "a UAP that changed": (EVALUATE, lambda: np.save(
        RUN + "uap.npy", np.zeros((32, 32, 3), np.float32)), "changed"),
    "a UAP for other inputs": (EVALUATE, edit(
        RUN + "run.json", lambda record: record["model"].update(scaling=OTHER_SCALING)), "scaled"),
    "a UAP in grey levels": (
        "evaluate.py --uap mine.npy --model-file models/VGG16.h5",
        lambda: np.save("mine.npy", np.full((32, 32, 3), 9, np.float32)),
        "mine.npy 1152 grey levels 255 --uap-unit"),
    "a UAP beyond the bound that is stated": (
        "evaluate.py --uap mine.npy --model-file models/VGG16.h5 --uap-unit 255 --norm-bound 8",
        lambda: np.save("mine.npy", np.full((32, 32, 3), 9, np.float32)),
        "mine.npy inf-norm is 9 grey levels --norm-bound is 8"),
    "a UAP for another model": (EVALUATE_ONE + " --model-file models/VGG16-other.h5", None,
                                "VGG16 VGG16-other --allow-mismatch"),
    "a UAP for other weights": (EVALUATE, other_model(".h5", ".json", ""), "other weights"),
    "a damaged run.json": (EVALUATE, truncate(RUN + "run.json"), "run.json not a JSON file"),
    "an empty run.json": (EVALUATE, write(RUN + "run.json", "{}"), "run.json required property"),
    "test images changed since training": (
        EVALUATE, write("models/VGG16/test.csv", "a.jpg,MEL\n"), "test.csv not the test images"),
    "a broken test image": (EVALUATE, broken_test_image, "cannot be read"),
    "results that another evaluation is writing": (
        EVALUATE, hold("results/.evaluation.lock"), "is being written by another run"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_message_and_exit_code_2(case, trained, tmp_path, monkeypatch):
    command, damage, expected = CASES[case]
    folder = str(tmp_path / "checkout")
    shutil.copytree(trained, folder, copy_function=os.link)
    monkeypatch.chdir(folder)
    if damage:
        for where, _, names in os.walk(folder):  # links become files of their own, but for weights
            for name in names:
                path = os.path.join(where, name)
                if not name.endswith(".h5"):
                    shutil.copy(path, path + ".copy")
                    os.replace(path + ".copy", path)
        damage()
    before = [checkout.tree(name, os.path.getmtime) for name in ("models", "results")]
    code, _, errors = checkout.script(folder, *command.split())
    assert code == 2, errors
    assert_one_message(errors, expected)
    assert [checkout.tree(name, os.path.getmtime) for name in ("models", "results")] == before


def test_broken_images_are_left_out_and_listed_up_to_the_share_allowed(trained, tmp_path):
    images, results = tmp_path / "photographs", tmp_path / "results"
    shutil.copytree(os.path.join(trained, "data", "ilsvrc2012"), str(images))
    names = sorted(checkout.tree(images))
    truncate(str(images / names[0]))()
    words = UAP.split() + ["--source-dir", images, "--results-dir", results]
    code, _, errors = checkout.script(trained, *words)
    assert code == 2 and "1 of 6 images cannot be read, the last is " + names[0] in errors
    code, _, errors = checkout.script(trained, *words, "--max-broken-share", "0.5")
    assert code == 0, errors
    folder = results / "VGG16" / "photographs"
    states = {row["file"]: row["state"]
              for row in checkout.read_csv(folder / "images.csv", header=("file", "state"))}
    assert "truncated" in states.pop(names[0])
    assert states == {name: "used" for name in names[1:]}
    counts = json.loads((folder / "run.json").read_text())["images"]
    assert (counts["used"], counts["broken"]) == (5, 1)


def test_imagenet_weights_without_a_connection_say_what_to_download_and_where(trained, tmp_path):
    code, _, errors = checkout.script(
        trained, "train_model.py", "--model", "ResNet50", "--image-size", "32", "--name", "x",
        KERAS_HOME=str(tmp_path), https_proxy="http://127.0.0.1:9")
    assert code == 2 and "Traceback" not in errors
    for word in ("a268eb855778b3df3c7506639542a6af", "https://", str(tmp_path / "models"),
                 "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"):
        assert word in errors
