"""Every bad argument and every missing or wrong file: one clear message, exit code 2."""

import json
import os
import shutil
import struct
import zlib

import numpy as np
import pytest

import checkout

TRAIN = ("train_model.py", "--model", "VGG16", "--name", "new", "--weights", "none",
         "--image-size", "32")
UAP = ("make_uap.py", "--model-file", "models/VGG16.h5")
ILSVRC = UAP + ("--source", "ilsvrc2012")


def truncate(path):
    with open(path, "rb+") as file:
        file.truncate(os.path.getsize(path) // 2)


def replace(source, target):
    """Copy a file over a hard link without touching what else the link leads to."""
    os.remove(target)
    os.link(source, target)


def edit_json(path, **changes):
    with open(path) as file:
        values = json.load(file)
    values.update(changes)
    with open(path, "w") as file:
        json.dump(values, file)


def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def write_bytes(path, content):
    with open(path, "wb") as file:
        file.write(content)


def write_png_header(path, width, height):
    """The beginning of a gray PNG of that size, without its pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    write_bytes(path, b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header
                + struct.pack(">I", zlib.crc32(header)))


def read_text(path):
    with open(path) as file:
        return file.read()


def read_json(path):
    return json.loads(read_text(path))


def save_checkpoint(path, **identity):
    from utils import checkpoint

    checkpoint.save_checkpoint(path, identity, {}, [])


def replace_uap(array, **options):
    return lambda: np.save("results/VGG16/ilsvrc2012/uap.npy", array, **options)


def break_images():
    for name in os.listdir("data/open_images_v5/test"):
        truncate(os.path.join("data/open_images_v5/test", name))


def save_another_model():
    import keras

    model = keras.Sequential([keras.layers.Dense(7, input_shape=(5,))])
    model.save("dense.h5")


GROUND_TRUTH = ("data/isic2018/ISIC2018_Task3_Training_GroundTruth/"
                "ISIC2018_Task3_Training_GroundTruth.csv")
HEADER = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
INPUT = "data/isic2018/ISIC2018_Task3_Training_Input/"

# Words of the command, what is done to the files before, words of the message.
CASES = {
    "no model": (("train_model.py",), None, "--model"),
    "a batch size that is no number": (TRAIN + ("--batch-size", "many"), None, "whole number"),
    "a limit of nothing": (TRAIN + ("--limit", "0"), None, "1 or more"),
    "a learning rate that is none": (TRAIN + ("--learning-rate", "nan"), None, "above 0"),
    "unknown model": (("train_model.py", "--model", "VGG19"), None, "VGG16"),
    "no epochs": (TRAIN + ("--epochs", "0"), None, "1 or more"),
    "negative learning rate": (TRAIN + ("--learning-rate", "-1"), None, "above 0"),
    "seed that is no number": (TRAIN + ("--seed", "x"), None, "whole number"),
    "too small an image": (TRAIN + ("--image-size", "31"), None, "at least 32"),
    "unknown recipe": (TRAIN + ("--recipe", "best"), None, "follow-up"),
    "no data": (TRAIN + ("--data-dir", "nowhere"), None, "nowhere data/README.md"),
    "no image folder": (TRAIN, lambda: shutil.rmtree(INPUT), "Training_Input no such folder"),
    "a missing image": (TRAIN, lambda: os.remove(INPUT + "ISIC_9000003.jpg"),
                        "1 of 56 ISIC_9000003.jpg"),
    "a broken image": (TRAIN, lambda: truncate(INPUT + "ISIC_9000003.jpg"),
                       "ISIC_9000003.jpg cannot be read"),
    "ground truth with another header": (TRAIN, lambda: write(GROUND_TRUTH, "image,MEL\n"),
                                         "column NV"),
    "an empty image": (TRAIN, lambda: write(INPUT + "ISIC_9000003.jpg", ""),
                       "ISIC_9000003.jpg cannot be read"),
    "a text file among the images": (TRAIN, lambda: write(INPUT + "ISIC_9000003.jpg", "text"),
                                     "ISIC_9000003.jpg cannot be read"),
    "a folder among the images": (TRAIN, lambda: (
        os.remove(INPUT + "ISIC_9000003.jpg"), os.mkdir(INPUT + "ISIC_9000003.jpg")),
        "ISIC_9000003.jpg cannot be read"),
    "an image too large to decode": (TRAIN, lambda: write_png_header(
        INPUT + "ISIC_9000003.jpg", 20000, 20000), "ISIC_9000003.jpg cannot be read"),
    "a link to itself among the images": (TRAIN, lambda: (
        os.remove(INPUT + "ISIC_9000003.jpg"),
        os.symlink("ISIC_9000003.jpg", INPUT + "ISIC_9000003.jpg")),
        "ISIC_9000003.jpg cannot be read"),
    "no ground truth": (TRAIN, lambda: os.remove(GROUND_TRUTH), "GroundTruth.csv not found"),
    "ground truth that is no text": (TRAIN, lambda: write_bytes(GROUND_TRUTH, b"\xff\xfe\x00"),
                                     "GroundTruth.csv"),
    "ground truth without rows": (TRAIN, lambda: write(GROUND_TRUTH, HEADER), "GroundTruth.csv"),
    "ground truth with two classes": (TRAIN, lambda: write(
        GROUND_TRUTH, HEADER + "ISIC_9000000,1,1,0,0,0,0,0\n"), "ISIC_9000000 2 classes"),
    "ground truth with no class": (TRAIN, lambda: write(
        GROUND_TRUTH, HEADER + "ISIC_9000000,0,0,0,0,0,0,0\n"), "ISIC_9000000"),
    "ground truth with an image twice": (TRAIN, lambda: write(
        GROUND_TRUTH, HEADER + 2 * "ISIC_9000000,1,0,0,0,0,0,0\n"), "ISIC_9000000 twice"),
    "unknown split": (TRAIN + ("--split", "patient"), None, "lesion"),
    "split without test.csv": (TRAIN + ("--split", "split"),
                               lambda: write("split/train.csv", "ISIC_9000000.jpg,MEL\n"),
                               "test.csv not found"),
    "split of another label": (TRAIN + ("--split", "split"), lambda: (
        write("split/train.csv", "ISIC_9000000.jpg,NV\n"),
        write("split/test.csv", "ISIC_9000001.jpg,NV\n")), "ground truth MEL"),
    "split of an unknown class": (TRAIN + ("--split", "split"), lambda: (
        write("split/train.csv", "ISIC_9000000.jpg,CAT\n"),
        write("split/test.csv", "ISIC_9000001.jpg,NV\n")), "train.csv CAT"),
    "split of an unknown image": (TRAIN + ("--split", "split"), lambda: (
        write("split/train.csv", "ISIC_1.jpg,MEL\n"),
        write("split/test.csv", "ISIC_9000001.jpg,NV\n")), "train.csv ISIC_1.jpg"),
    "split with an image on both sides": (TRAIN + ("--split", "split"), lambda: (
        write("split/train.csv", "ISIC_9000000.jpg,MEL\n"),
        write("split/test.csv", "ISIC_9000000.jpg,MEL\n")), "ISIC_9000000.jpg one side"),
    "split of rows without a label": (TRAIN + ("--split", "split"), lambda: (
        write("split/train.csv", "ISIC_9000000.jpg\n"),
        write("split/test.csv", "ISIC_9000001.jpg,NV\n")), "train.csv file,label"),
    "split without images to train on": (TRAIN + ("--split", "split"), lambda: (
        write("split/train.csv", ""), write("split/test.csv", "ISIC_9000001.jpg,NV\n")),
        "train.csv"),
    "no such data set": (TRAIN + ("--dataset", "chest_xray"), None, "data/chest_xray no such"),
    "a file for a models folder": (TRAIN + ("--models-dir", "README.md/models"), None,
                                   "README.md/models cannot be written"),
    "weights that are text": (TRAIN + ("--weights", "README.md"), None, "README.md not an h5 file"),
    "empty weights": (TRAIN + ("--weights", "w.h5"), lambda: write("w.h5", ""),
                      "w.h5 not an h5 file"),
    "a damaged checkpoint": (TRAIN, lambda: write("models/new/checkpoint.npz", "PK"),
                             "checkpoint.npz --restart"),
    "a checkpoint of another training": (TRAIN, lambda: save_checkpoint(
        "models/new/checkpoint.npz", seed=5), "checkpoint.npz seed 5 --restart"),
    "no lesion groupings": (TRAIN + ("--split", "lesion"), lambda: os.remove(
        "data/isic2018/ISIC2018_Task3_Training_LesionGroupings.csv"), "LesionGroupings.csv"),
    "missing weights": (TRAIN + ("--weights", "w.h5"), None, "w.h5 no such file"),
    "truncated weights": (TRAIN + ("--weights", "w.h5"), lambda: (
        shutil.copy("models/VGG16.h5", "w.h5"), truncate("w.h5")), "w.h5 not an h5 file"),
    "weights of another architecture": (
        TRAIN + ("--weights", "dense.h5"), save_another_model,
        "not the weights of VGG16 dense_1 (5, 7)"),
    "no source": (UAP, None, "--source"),
    "two sources": (ILSVRC + ("--source-dir", "data"), None, "not allowed"),
    "unknown source": (UAP + ("--source", "cifar10"), None, "ilsvrc2012"),
    "no passes": (ILSVRC + ("--passes", "0"), None, "1 or more"),
    "a bound of nothing": (ILSVRC + ("--norm-ratio", "0"), None, "above 0"),
    "an endless bound": (ILSVRC + ("--norm-ratio", "inf"), None, "above 0"),
    "a checkpoint before the last": (ILSVRC + ("--checkpoint-seconds", "-1"), None, "above 0"),
    "a file for a results folder": (ILSVRC + ("--results-dir", "README.md/results"), None,
                                    "README.md/results cannot be written"),
    "a source folder that is a file": (UAP + ("--source-dir", "README.md"), None,
                                       "README.md no such folder"),
    "a damaged checkpoint of a UAP": (
        ILSVRC, lambda: write("results/VGG16/.ilsvrc2012.partial/checkpoint.npz", "PK"),
        "checkpoint.npz --restart"),
    "a checkpoint of another UAP": (ILSVRC, lambda: save_checkpoint(
        "results/VGG16/.ilsvrc2012.partial/checkpoint.npz", norm_ratio=0.5),
        "checkpoint.npz norm_ratio 0.5 --restart"),
    "a folder for a model": (("make_uap.py", "--model-file", "models/VGG16", "--source",
                              "ilsvrc2012"), None, "models/VGG16 no such model file"),
    "description that is no text": (
        ILSVRC, lambda: write_bytes("models/VGG16.json", b"\xff\xfe\x00"), "VGG16.json JSON"),
    "description of an unknown architecture": (ILSVRC, lambda: edit_json(
        "models/VGG16.json", architecture="VGG19"), "VGG19 VGG16"),
    "norm 3": (ILSVRC + ("--norm", "3"), None, "inf"),
    "fooling rate above 1": (ILSVRC + ("--target-fooling-rate", "1.5"), None, "up to 1"),
    "unknown target": (ILSVRC + ("--target", "CAT"), None, "MEL NV"),
    "missing model": (("make_uap.py", "--model-file", "models/x.h5", "--source", "isic2018"), None,
                      "models/x.h5 train_model.py"),
    "model without description": (ILSVRC, lambda: os.remove("models/VGG16.json"), "VGG16.json"),
    "description that is no JSON": (ILSVRC, lambda: write("models/VGG16.json", "{"), "JSON"),
    "description of other weights": (
        ILSVRC, lambda: replace("models/VGG16-other.h5", "models/VGG16.h5"), "SHA-256"),
    "description without image size": (ILSVRC, lambda: write("models/VGG16.json", "{}"),
                                       "architecture required"),
    "description of another scaling": (ILSVRC, lambda: edit_json(
        "models/VGG16.json", scaling={"offset": 0, "scale": 255}), "scaled"),
    "missing source folder": (UAP + ("--source-dir", "nowhere"), None, "nowhere no such folder"),
    "source without images": (UAP + ("--source-dir", "utils"), None, "utils no image"),
    "fewer images than asked for": (ILSVRC + ("--num-images", "7"), None, "6 images 7"),
    "nothing but broken images": (UAP + ("--source", "open_images_v5", "--restart"), break_images,
                                  "cannot be read"),
    "split changed since training": (
        UAP + ("--source", "isic2018"), lambda: write("models/VGG16/train.csv", "a.jpg,MEL\n"),
        "train.csv not the train images"),
    "nothing to evaluate": (("evaluate.py", "--results-dir", "nowhere"), None,
                            "nowhere make_uap.py"),
    "a UAP without a model": (("evaluate.py", "--uap", "results/VGG16/ilsvrc2012/uap.npy"), None,
                              "--model-file"),
    "a missing UAP": (("evaluate.py", "--uap", "x.npy", "--model-file", "models/VGG16.h5"), None,
                      "x.npy"),
    "a UAP of another shape": (("evaluate.py",), replace_uap(np.zeros((9, 9, 3), np.float32)),
                               "(9, 9, 3) (32, 32, 3)"),
    "a UAP of another type": (("evaluate.py",), replace_uap(np.zeros((32, 32, 3))), "float64"),
    "a UAP with NaN": (("evaluate.py",), replace_uap(np.full((32, 32, 3), np.nan, np.float32)),
                       "NaN"),
    "a pickled UAP": (("evaluate.py",), replace_uap(np.array([{}]), allow_pickle=True),
                      "not a .npy file of numbers"),
    "a truncated UAP": (("evaluate.py",), lambda: truncate("results/VGG16/ilsvrc2012/uap.npy"),
                        "not a .npy file of numbers"),
    "an empty UAP": (("evaluate.py",), lambda: write("results/VGG16/ilsvrc2012/uap.npy", ""),
                     "not a .npy file of numbers"),
    "a UAP that is gone": (("evaluate.py",), lambda: os.remove("results/VGG16/ilsvrc2012/uap.npy"),
                           "uap.npy no such file"),
    "a UAP over its bound": (("evaluate.py",), lambda: edit_json(
        "results/VGG16/ilsvrc2012/run.json", norm={"p": "inf", "ratio": 0.04, "bound": 1e-6}),
        "bound 1e-06"),
    "a UAP for other inputs": (("evaluate.py",), lambda: edit_json(
        "results/VGG16/ilsvrc2012/run.json", model=dict(
            read_json("results/VGG16/ilsvrc2012/run.json")["model"],
            scaling={"offset": 0, "scale": 255})), "scaled"),
    "a UAP for another model": (
        ("evaluate.py", "--uap", "results/VGG16/ilsvrc2012/uap.npy", "--model-file",
         "models/VGG16-other.h5"), None, "VGG16 VGG16-other --allow-mismatch"),
    "a damaged run.json": (("evaluate.py",), lambda: truncate(
        "results/VGG16/ilsvrc2012/run.json"), "run.json not a JSON file"),
    "an empty run.json": (("evaluate.py",), lambda: write(
        "results/VGG16/ilsvrc2012/run.json", "{}"), "run.json required property"),
    "a run of a model that is gone": (("evaluate.py",), lambda: os.remove("models/VGG16.h5"),
                                      "models/VGG16.h5 no such model file"),
    "test images changed since training": (("evaluate.py",), lambda: write(
        "models/VGG16/test.csv", "a.jpg,MEL\n"), "test.csv not the test images"),
    "a broken test image": (("evaluate.py",), lambda: truncate(
        INPUT + read_text("models/VGG16/test.csv").split(",")[0]), "cannot be read"),
    "no test images": (("evaluate.py", "--limit", "0"), None, "1 or more"),
    "a UAP that changed": (("evaluate.py",), replace_uap(np.zeros((32, 32, 3), np.float32)),
                           "changed"),
    "a UAP for other weights": (("evaluate.py",), lambda: (
        replace("models/VGG16-other.h5", "models/VGG16.h5"),
        replace("models/VGG16-other.json", "models/VGG16.json"),
        shutil.rmtree("models/VGG16"),
        shutil.copytree("models/VGG16-other", "models/VGG16")), "other weights"),
}


def files_with_times(folder):
    return sorted((os.path.join(where, name), os.stat(os.path.join(where, name)).st_mtime_ns)
                  for where, _, names in os.walk(folder) for name in names)


@pytest.mark.parametrize("case", CASES)
def test_bad_input_gives_one_message_and_exit_code_2(case, trained, tmp_path, monkeypatch):
    words, damage, expected = CASES[case]
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
    code, _, errors = checkout.script(folder, *words)
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
