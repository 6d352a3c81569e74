"""A classifier that other code trained, in plain Keras, adopted and attacked."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import checkout
from utils.classifier.frameworks import keras, layers
from utils.classifier.session import start_session

LESIONS = os.path.join("data", "isic2018", "ISIC2018_Task3_Training_Input")
GROUND_TRUTH = os.path.join("data", "isic2018", "ISIC2018_Task3_Training_GroundTruth",
                            "ISIC2018_Task3_Training_GroundTruth.csv")
ADOPT = ("-m", "utils.classifier.adopt", "theirs.h5", "--name", "theirs")


def in_caffe_mode(pixels):
    """What VGG16's authors do to pixels, as keras.applications.vgg16.preprocess_input."""
    return pixels[..., ::-1] - np.array([103.939, 116.779, 123.68])


def lesions(folder, size=32):
    """The generated lesions: pixels, float32 (n, size, size, 3), and labels, one-hot."""
    rows = checkout.read_csv(folder, GROUND_TRUTH)
    pixels = [np.asarray(Image.open(os.path.join(folder, LESIONS, row["image"] + ".jpg")).resize(
        (size, size), Image.BILINEAR)) for row in rows]
    return np.float32(pixels), np.float32([[row[name] for name in checkout.CLASSES]
                                           for row in rows])


def small_vgg16(size=32):
    """Pairs of convolutions and a pooling, as VGG16's, a few channels wide."""
    start_session(0, inference=False)
    model = keras.Sequential()
    for number, channels in enumerate([8, 8, 16, 16, 32, 32]):
        shape = {"input_shape": (size, size, 3)} if number == 0 else {}
        model.add(layers.Conv2D(channels, 3, padding="same", activation="relu", **shape))
        model.add(layers.BatchNormalization())
        if number % 2 == 1:
            model.add(layers.MaxPooling2D())
    for layer in (layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dropout(0.2),
                  layers.Dense(7, activation="softmax")):
        model.add(layer)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A copy of the project with theirs.h5, a classifier of lesions that plain Keras trained."""
    folder = str(tmp_path_factory.mktemp("adopt"))
    checkout.make(folder)
    pixels, labels = lesions(folder)
    model = small_vgg16()
    model.fit(in_caffe_mode(pixels), labels, epochs=25, batch_size=8, verbose=0)
    model.save(os.path.join(folder, "theirs.h5"))
    return folder


def adopt(folder, *words):
    """(exit code, what was printed, errors) of adopting theirs.h5."""
    return checkout.script(folder, "-m", "utils.classifier.adopt", "theirs.h5", *words)


@pytest.fixture(scope="module")
def adopted(theirs):
    """What is printed when it is adopted, and when a UAP is made for it."""
    printed = []
    for words in (("-m", "utils.classifier.adopt", "theirs.h5", "--name", "theirs",
                   "--preprocessing", "caffe", "--dataset", "isic2018", "--split", "image"),
                  ("make_uap.py", "--model-file", "models/theirs.h5", "--source", "isic2018",
                   "--norm-ratio", "0.1"),
                  ("make_uap.py", "--model-file", "models/theirs.h5", "--source", "ilsvrc2012",
                   "--attack", "sgd", "--batch-size", "2", "--norm-ratio", "0.1"),
                  ("evaluate.py",)):
        code, output, errors = checkout.script(theirs, *words)
        assert code == 0, errors
        printed.append(output)
    return printed


def test_the_commands_that_are_documented_adopt_and_attack_it(theirs, tmp_path):
    folder = str(tmp_path)
    checkout.make(folder)
    shutil.copy(os.path.join(theirs, "theirs.h5"), folder)
    for row in checkout.read_csv(folder, GROUND_TRUTH):
        label = next(name for name in checkout.CLASSES if float(row[name]))
        os.makedirs(os.path.join(folder, "data", "chest_xray", label), exist_ok=True)
        shutil.copy(os.path.join(folder, LESIONS, row["image"] + ".jpg"),
                    os.path.join(folder, "data", "chest_xray", label))
    shutil.copytree(os.path.join(folder, "data", "ilsvrc2012"),
                    os.path.join(folder, "photographs"))
    with open(os.path.join(checkout.ROOT, "docs", "own-classifier.md"), encoding="utf-8") as file:
        block, = checkout.shell_blocks(file.read())
    code, output = checkout.shell(folder, ". .venv/bin/activate\n" + block)
    assert code == 0, output
    assert "wrote models/theirs.h5, models/theirs.json and models/theirs/\n" in output
    row, = [row for row in checkout.read_csv(folder, "results", "table.csv") if row["rate"]]
    assert (row["model"], row["run"]) == ("theirs", "photographs-sgd")
    assert 0 < float(row["largest_change"]) <= 0.04 * 255


@pytest.fixture(scope="module")
def keras_says(theirs):
    """The classes that Keras itself predicts, of pixels."""
    start_session(0, inference=True)
    model = keras.models.load_model(os.path.join(theirs, "theirs.h5"))
    return lambda pixels: model.predict(in_caffe_mode(pixels)).argmax(axis=1)


def description_of(folder, name="theirs"):
    with open(os.path.join(folder, "models", name + ".json")) as file:
        return json.load(file)


def pixels_of_the_test(folder):
    """Pixels and labels of the test images of the adopted classifier."""
    pixels, labels = lesions(folder)
    names = [row["image"] + ".jpg" for row in checkout.read_csv(folder, GROUND_TRUTH)]
    chosen = [names.index(row["file"]) for row in checkout.read_csv(
        folder, "models", "theirs", "test.csv", header=["file", "label"])]
    return pixels[chosen], labels[chosen].argmax(axis=1)


def test_the_accuracy_is_that_of_keras(theirs, adopted, keras_says):
    pixels, labels = pixels_of_the_test(theirs)
    accuracy = np.mean(keras_says(pixels) == labels)
    assert accuracy > 0.9
    scores = description_of(theirs)["scores"]["test"]
    assert scores["accuracy"] == pytest.approx(accuracy) and scores["images"] == len(labels)
    assert f"test accuracy {accuracy:.1%} of {len(labels)} images; recall: MEL " in adopted[0]
    assert "warning" not in adopted[0]


@pytest.mark.parametrize("source", ["isic2018", "ilsvrc2012"])
def test_the_fooling_rate_is_that_of_ten_lines_of_keras(theirs, adopted, keras_says, source):
    results = os.path.join(theirs, "results", "theirs")
    run, = [name for name in os.listdir(results) if name.startswith(source)]
    v = np.load(os.path.join(results, run, "uap.npy"))
    pixels, _ = pixels_of_the_test(theirs)
    clean, attacked = keras_says(pixels), keras_says(pixels + 128 * v)
    rows = checkout.read_csv(results, run, "predictions.csv")
    found = np.array([[row["clean"], row["uap"]] for row in rows])
    np.testing.assert_array_equal(found[:, 0], np.array(checkout.CLASSES)[clean])
    np.testing.assert_array_equal(found[:, 1], np.array(checkout.CLASSES)[attacked])
    rate, = [float(row["rate"]) for row in checkout.read_csv(theirs, "results", "table.csv")
             if row["model"] == "theirs" and row["run"] == run]
    assert rate == pytest.approx(np.mean(clean != attacked))


def test_the_first_line_of_an_attack_says_which_layers_are_slow(theirs, adopted):
    assert adopted[1].splitlines()[0] == (
        "gradients: 1 of 26 layers (1 Flatten) go through tf.gradients, the others through "
        "backward passes of their own")


def test_the_wrong_preprocessing_is_noticed_and_the_right_one_named(theirs):
    code, output, _ = adopt(theirs, "--name", "wrong", "--preprocessing", "tf", "--dataset",
                            "isic2018")
    assert code == 0
    assert "warning: this is hardly better than guessing" in output
    assert "warning: --preprocessing caffe would fit" in output


def test_the_wrong_order_of_the_classes_is_noticed_and_the_right_one_named(theirs):
    wrong = checkout.CLASSES[1:] + checkout.CLASSES[:1]
    code, output, _ = adopt(theirs, "--name", "order", "--preprocessing", "caffe", "--dataset",
                            "isic2018", "--class-names", *wrong)
    assert code == 0
    assert f"warning: --class-names {' '.join(checkout.CLASSES)} would fit" in output


def test_the_same_command_does_nothing_and_another_one_is_refused(theirs, adopted):
    words = ["--name", "theirs", "--dataset", "isic2018", "--split", "image", "--preprocessing"]
    code, output, _ = adopt(theirs, *words, "caffe")
    assert code == 0 and "models/theirs.h5: finished" in output
    code, _, errors = adopt(theirs, *words, "torch")
    assert code == 2 and "preprocessing caffe then, torch now" in errors


def test_the_bound_is_of_training_images_or_of_test_images_or_of_natural_images(theirs, adopted):
    pixels, _ = lesions(theirs)
    assert description_of(theirs)["mean_norms_of"] == "training images"
    code, output, _ = adopt(theirs, "--name", "without-training", "--preprocessing", "caffe",
                            "--dataset", "isic2018")
    found = description_of(theirs, "without-training")
    assert code == 0 and "mean norms of the test images" in output
    assert found["mean_norms_of"] == "test images" and found["split"]["train"]["images"] == 0
    assert found["mean_norms"]["inf"] == pytest.approx(np.mean(pixels.max(axis=(1, 2, 3))))
    code, output, _ = adopt(theirs, "--name", "without-any", "--preprocessing", "caffe",
                            "--class-names", *checkout.CLASSES)
    found = description_of(theirs, "without-any")
    assert code == 0 and "mean norms of the natural images" in output
    assert found["mean_norms_of"] == "natural images" and found["mean_norms"]["inf"] == 250
    for name in ("make_uap.py --model-file models/without-training.h5 --source ilsvrc2012 "
                 "--num-images 1 --results-dir of-test", "evaluate.py --results-dir of-test"):
        code, _, errors = checkout.script(theirs, *name.split())
        assert code == 0, errors
    row, = [row for row in checkout.read_csv(theirs, "of-test", "table.csv") if row["rate"]]
    assert "bound from the norms of test images" in row["differs"]
    code, _, errors = checkout.script(theirs, "make_uap.py", "--model-file",
                                      "models/without-training.h5", "--source", "isic2018")
    assert code == 2 and "adopted without training images; adopt it again with --split" in errors
    code, output, errors = checkout.script(
        theirs, "make_uap.py", "--model-file", "models/without-any.h5", "--source", "ilsvrc2012",
        "--num-images", "2", "--results-dir", "elsewhere")
    assert code == 0, errors
    code, _, errors = checkout.script(theirs, "evaluate.py", "--results-dir", "elsewhere")
    assert code == 2 and "adopted without test images; adopt it again with --dataset" in errors


CAFFE = ("--name", "new", "--preprocessing", "caffe")


@pytest.mark.parametrize("words, message", [
    (CAFFE + ("--class-names", "a", "b"), "tells 7 classes, and there are 2 names"),
    (CAFFE + ("--class-names", "a", "a"), "a name twice"),
    (CAFFE + ("--dataset", "isic2018", "--class-names", "MEL", "NV"),
     "isic2018 has images of AKIEC, BCC, BKL, DF, VASC"),
    (CAFFE + ("--model", "VGG16", "--image-size", "32", "--class-names", "a", "b"),
     "number 1 with weights, has shapes"),
    (CAFFE + ("--model", "InceptionV3", "--image-size", "32", "--class-names", "a", "b"),
     "image size 32, InceptionV3 takes 75 or more"),
    (CAFFE + ("--class-names", "a", "b", "--image-size", "64"),
     "images of 32 x 32 pixels, --image-size is 64; expected squares of one size"),
    (("--name", "new", "--preprocessing", "keras", "--class-names", "a", "b"), "expected study"),
    (("--name", "VGG16", "--preprocessing", "tf", "--class-names", "a"), "study's own models"),
    (("--name", "new", "--preprocessing", "tf"), "give --dataset, or --class-names"),
    (("--name", "new", "--class-names", "a"), "--preprocessing"),
])
def test_what_does_not_fit_is_one_message_and_exit_code_2(theirs, words, message):
    code, _, errors = adopt(theirs, *words)
    assert code == 2 and "Traceback" not in errors
    last = errors[errors.rindex("error: "):]
    assert message in last and last.count("\n") == 1
    assert not os.path.exists(os.path.join(theirs, "models", "new.json"))


def test_a_folder_is_refused_in_one_message(theirs):
    os.makedirs(os.path.join(theirs, "saved_model"), exist_ok=True)
    code, _, errors = checkout.script(theirs, "-m", "utils.classifier.adopt", "saved_model", *CAFFE,
                                      "--class-names", "a", "b")
    assert code == 2 and "saved_model: " in errors and "SavedModel" in errors
