"""Every bad argument and every missing or wrong file: one clear message, exit code 2."""

import glob
import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest

import checkout
from utils import checkpoint

TRAIN = "train_model.py --model VGG16 --name new --weights none --image-size 32"
UAP = "make_uap.py --model-file models/VGG16.h5"
ILSVRC = UAP + " --source ilsvrc2012"
EVALUATE = "evaluate.py"
EVALUATE_ONE = "evaluate.py --uap results/VGG16/ilsvrc2012/uap.npy"
INPUT = "data/isic2018/ISIC2018_Task3_Training_Input/"
IMAGE = INPUT + "ISIC_9000003.jpg"
GROUND_TRUTH = ("data/isic2018/ISIC2018_Task3_Training_GroundTruth/"
                "ISIC2018_Task3_Training_GroundTruth.csv")
LESIONS = "data/isic2018/ISIC2018_Task3_Training_LesionGroupings.csv"
RUN = "results/VGG16/ilsvrc2012/"
# The beginning of a grey PNG of 20,000 x 20,000, without its pixels.
HEADER = b"IHDR" + struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
LARGE = b"\x89PNG\r\n\x1a\n\0\0\0\r" + HEADER + struct.pack(">I", zlib.crc32(HEADER))


# Each of these returns the function that damages a copy of the project.

def write(path, content):
    def damage():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    return damage


def truth(rows):
    return write(GROUND_TRUTH, "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n" + rows)


def split(train, test="ISIC_9000001.jpg,NV\n"):
    def damage():
        write("split/train.csv", train)()
        write("split/test.csv", test)()
    return damage


def remove(path):
    return lambda: shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)


def instead(path, make):
    """Remove a file and make something else there."""
    def damage():
        os.remove(path)
        make(path)
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


def uap(array, **options):
    return lambda: np.save(RUN + "uap.npy", array, **options)


def saved_checkpoint(path, **identity):
    return lambda: checkpoint.save_checkpoint(path, identity, {}, [])


def other_model(*ends):
    """Put the files of the other model in the place of the first's."""
    def damage():
        for end in ends:
            remove("models/VGG16" + end)()
            copy = shutil.copytree if end == "" else os.link
            copy("models/VGG16-other" + end, "models/VGG16" + end)
    return damage


def dense_model():
    import keras

    keras.Sequential([keras.layers.Dense(7, input_shape=(5,))]).save("dense.h5")


def half_weights():
    shutil.copy("models/VGG16.h5", "w.h5")
    truncate("w.h5")()


def broken_test_image():
    with open("models/VGG16/test.csv") as file:
        truncate(INPUT + file.read().split(",")[0])()


BROKEN = "ISIC_9000003.jpg cannot be read"
NO_NPY = "not a .npy file of numbers"
CHECKPOINT = "results/VGG16/.ilsvrc2012.partial/checkpoint.npz"
OTHER_SCALING = {"offset": 0, "scale": 255}

# The command, what is done to the files before, words of the message.
CASES = {
    "no model": ("train_model.py", None, "--model"),
    "a batch size that is no number": (TRAIN + " --batch-size many", None, "whole number"),
    "a limit of nothing": (TRAIN + " --limit 0", None, "1 or more"),
    "a learning rate that is none": (TRAIN + " --learning-rate nan", None, "above 0"),
    "unknown model": ("train_model.py --model VGG19", None, "VGG16"),
    "no epochs": (TRAIN + " --epochs 0", None, "1 or more"),
    "negative learning rate": (TRAIN + " --learning-rate -1", None, "above 0"),
    "seed that is no number": (TRAIN + " --seed x", None, "whole number"),
    "too small an image": (TRAIN + " --image-size 31", None, "at least 32"),
    "unknown recipe": (TRAIN + " --recipe best", None, "follow-up"),
    "no data": (TRAIN + " --data-dir nowhere", None, "nowhere data/README.md"),
    "no image folder": (TRAIN, remove(INPUT), "Training_Input no such folder"),
    "a missing image": (TRAIN, remove(IMAGE), "1 of 56 ISIC_9000003.jpg"),
    "a broken image": (TRAIN, truncate(IMAGE), BROKEN),
    "an empty image": (TRAIN, write(IMAGE, ""), BROKEN),
    "a text file among the images": (TRAIN, write(IMAGE, "text"), BROKEN),
    "a folder among the images": (TRAIN, instead(IMAGE, os.mkdir), BROKEN),
    "an image too large to decode": (TRAIN, write(IMAGE, LARGE), BROKEN),
    "a link to itself among the images": (
        TRAIN, instead(IMAGE, lambda path: os.symlink(os.path.basename(path), path)), BROKEN),
    "no ground truth": (TRAIN, remove(GROUND_TRUTH), "GroundTruth.csv not found"),
    "ground truth with another header": (TRAIN, write(GROUND_TRUTH, "image,MEL\n"), "column NV"),
    "ground truth that is no text": (TRAIN, write(GROUND_TRUTH, b"\xff\xfe\0"), "GroundTruth.csv"),
    "ground truth without rows": (TRAIN, truth(""), "GroundTruth.csv"),
    "ground truth with two classes": (
        TRAIN, truth("ISIC_9000000,1,1,0,0,0,0,0\n"), "ISIC_9000000 2 classes"),
    "ground truth with no class": (TRAIN, truth("ISIC_9000000,0,0,0,0,0,0,0\n"), "ISIC_9000000"),
    "ground truth with an image twice": (
        TRAIN, truth(2 * "ISIC_9000000,1,0,0,0,0,0,0\n"), "ISIC_9000000 twice"),
    "unknown split": (TRAIN + " --split patient", None, "lesion"),
    "no lesion groupings": (TRAIN + " --split lesion", remove(LESIONS), "LesionGroupings.csv"),
    "split without test.csv": (TRAIN + " --split split", write(
        "split/train.csv", "ISIC_9000000.jpg,MEL\n"), "test.csv not found"),
    "split of another label": (
        TRAIN + " --split split", split("ISIC_9000000.jpg,NV\n"), "ground truth MEL"),
    "split of an unknown class": (
        TRAIN + " --split split", split("ISIC_9000000.jpg,CAT\n"), "train.csv CAT"),
    "split of an unknown image": (
        TRAIN + " --split split", split("ISIC_1.jpg,MEL\n"), "train.csv ISIC_1.jpg"),
    "split with an image on both sides": (
        TRAIN + " --split split", split(*2 * ["ISIC_9000000.jpg,MEL\n"]),
        "ISIC_9000000.jpg one side"),
    "split of rows without a label": (
        TRAIN + " --split split", split("ISIC_9000000.jpg\n"), "train.csv file,label"),
    "split without images to train on": (TRAIN + " --split split", split(""), "train.csv"),
    "no such data set": (TRAIN + " --dataset chest_xray", None, "data/chest_xray no such"),
    "a file for a models folder": (
        TRAIN + " --models-dir README.md/models", None, "README.md/models cannot be written"),
    "missing weights": (TRAIN + " --weights w.h5", None, "w.h5 no such file"),
    "weights that are text": (TRAIN + " --weights README.md", None, "README.md not an h5 file"),
    "empty weights": (TRAIN + " --weights w.h5", write("w.h5", ""), "w.h5 not an h5 file"),
    "truncated weights": (TRAIN + " --weights w.h5", half_weights, "w.h5 not an h5 file"),
    "weights of another architecture": (TRAIN + " --weights dense.h5", dense_model,
                                        "not the weights of VGG16 dense_1 (5, 7)"),
    "a damaged checkpoint": (
        TRAIN, write("models/new/checkpoint.npz", "PK"), "checkpoint.npz --restart"),
    "a checkpoint of another training": (TRAIN, saved_checkpoint(
        "models/new/checkpoint.npz", seed=5), "checkpoint.npz seed 5 --restart"),
    "no source": (UAP, None, "--source"),
    "two sources": (ILSVRC + " --source-dir data", None, "not allowed"),
    "unknown source": (UAP + " --source cifar10", None, "ilsvrc2012"),
    "no passes": (ILSVRC + " --passes 0", None, "1 or more"),
    "a bound of nothing": (ILSVRC + " --norm-ratio 0", None, "above 0"),
    "an endless bound": (ILSVRC + " --norm-ratio inf", None, "above 0"),
    "a checkpoint before the last": (ILSVRC + " --checkpoint-seconds -1", None, "above 0"),
    "norm 3": (ILSVRC + " --norm 3", None, "inf"),
    "fooling rate above 1": (ILSVRC + " --target-fooling-rate 1.5", None, "up to 1"),
    "unknown target": (ILSVRC + " --target CAT", None, "MEL NV"),
    "a file for a results folder": (
        ILSVRC + " --results-dir README.md/results", None, "README.md/results cannot be written"),
    "a source folder that is a file": (
        UAP + " --source-dir README.md", None, "README.md no such folder"),
    "missing source folder": (UAP + " --source-dir nowhere", None, "nowhere no such folder"),
    "source without images": (UAP + " --source-dir utils", None, "utils no image"),
    "fewer images than asked for": (ILSVRC + " --num-images 7", None, "6 images 7"),
    "nothing but broken images": (UAP + " --source open_images_v5 --restart",
                                  truncate("data/open_images_v5/test/*"), "cannot be read"),
    "split changed since training": (
        UAP + " --source isic2018", write("models/VGG16/train.csv", "a.jpg,MEL\n"),
        "train.csv not the train images"),
    "a damaged checkpoint of a UAP": (
        ILSVRC, write(CHECKPOINT, "PK"), "checkpoint.npz --restart"),
    "a checkpoint of another UAP": (ILSVRC, saved_checkpoint(
        CHECKPOINT, norm_ratio=0.5), "checkpoint.npz norm_ratio 0.5 --restart"),
    "a folder for a model": ("make_uap.py --model-file models/VGG16 --source ilsvrc2012", None,
                             "models/VGG16 no such model file"),
    "missing model": ("make_uap.py --model-file models/x.h5 --source isic2018", None,
                      "models/x.h5 train_model.py"),
    "model without description": (ILSVRC, remove("models/VGG16.json"), "VGG16.json"),
    "description that is no text": (
        ILSVRC, write("models/VGG16.json", b"\xff\xfe\0"), "VGG16.json JSON"),
    "description that is no JSON": (ILSVRC, write("models/VGG16.json", "{"), "JSON"),
    "description without image size": (
        ILSVRC, write("models/VGG16.json", "{}"), "architecture required"),
    "description of an unknown architecture": (ILSVRC, edit(
        "models/VGG16.json", lambda its: its.update(architecture="VGG19")), "VGG19 VGG16"),
    "description of another scaling": (ILSVRC, edit(
        "models/VGG16.json", lambda its: its.update(scaling=OTHER_SCALING)), "scaled"),
    "description of other weights": (ILSVRC, other_model(".h5"), "SHA-256"),
    "nothing to evaluate": ("evaluate.py --results-dir nowhere", None, "nowhere make_uap.py"),
    "no test images": ("evaluate.py --limit 0", None, "1 or more"),
    "a UAP without a model": (EVALUATE_ONE, None, "--model-file"),
    "a missing UAP": ("evaluate.py --uap x.npy --model-file models/VGG16.h5", None, "x.npy"),
    "a UAP of another shape": (
        EVALUATE, uap(np.zeros((9, 9, 3), np.float32)), "(9, 9, 3) (32, 32, 3)"),
    "a UAP of another type": (EVALUATE, uap(np.zeros((32, 32, 3))), "float64"),
    "a UAP with NaN": (EVALUATE, uap(np.full((32, 32, 3), np.nan, np.float32)), "NaN"),
    "a pickled UAP": (EVALUATE, uap(np.array([{}]), allow_pickle=True), NO_NPY),
    "a truncated UAP": (EVALUATE, truncate(RUN + "uap.npy"), NO_NPY),
    "an empty UAP": (EVALUATE, write(RUN + "uap.npy", ""), NO_NPY),
    "a UAP that is gone": (EVALUATE, remove(RUN + "uap.npy"), "uap.npy no such file"),
    "a UAP that changed": (EVALUATE, uap(np.zeros((32, 32, 3), np.float32)), "changed"),
    "a UAP over its bound": (EVALUATE, edit(
        RUN + "run.json", lambda its: its["norm"].update(bound=1e-6)), "bound 1e-06"),
    "a UAP for other inputs": (EVALUATE, edit(
        RUN + "run.json", lambda its: its["model"].update(scaling=OTHER_SCALING)), "scaled"),
    "a UAP for another model": (EVALUATE_ONE + " --model-file models/VGG16-other.h5", None,
                                "VGG16 VGG16-other --allow-mismatch"),
    "a UAP for other weights": (EVALUATE, other_model(".h5", ".json", ""), "other weights"),
    "a damaged run.json": (EVALUATE, truncate(RUN + "run.json"), "run.json not a JSON file"),
    "an empty run.json": (EVALUATE, write(RUN + "run.json", "{}"), "run.json required property"),
    "a run of a model that is gone": (
        EVALUATE, remove("models/VGG16.h5"), "models/VGG16.h5 no such model file"),
    "test images changed since training": (
        EVALUATE, write("models/VGG16/test.csv", "a.jpg,MEL\n"), "test.csv not the test images"),
    "a broken test image": (EVALUATE, broken_test_image, "cannot be read"),
}


def files_with_times(folder):
    return sorted((os.path.join(where, name), os.stat(os.path.join(where, name)).st_mtime_ns)
                  for where, _, names in os.walk(folder) for name in names)


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
    before = files_with_times("models") + files_with_times("results")
    code, _, errors = checkout.script(folder, *command.split())
    assert code == 2, errors
    assert "Traceback" not in errors
    message = errors[errors.rindex("error: "):]
    assert message.count("\n") == 1
    for word in expected.split():
        assert word in message
    assert files_with_times("models") + files_with_times("results") == before


def test_imagenet_weights_without_a_connection_say_what_to_download_and_where(trained, tmp_path):
    code, _, errors = checkout.script(
        trained, "train_model.py", "--model", "ResNet50", "--image-size", "32", "--name", "x",
        KERAS_HOME=str(tmp_path), https_proxy="http://127.0.0.1:9")
    assert code == 2 and "Traceback" not in errors
    for word in ("a268eb855778b3df3c7506639542a6af", "https://", str(tmp_path / "models"),
                 "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"):
        assert word in errors
