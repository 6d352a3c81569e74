"""Weights from any Keras file: without top, with any top, and files that do not fit."""

import json
import shutil

import h5py
import keras
import numpy as np
import pytest

from utils import classifier
from utils.errors import UserError
from utils.weights import load_weights, read_layers

NAMES = ["a", "b", "c"]
SIZE = 32


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder of files of VGG16 whose weights are random: with 3 and 10 classes, and without top."""
    folder = tmp_path_factory.mktemp("weights")
    classifier.start_session(1, inference=True)
    for classes in (3, 10):
        model = classifier.build_classifier("VGG16", SIZE, classes)
        model.save_weights(str(folder / "{}.h5".format(classes)))
    base = keras.Model(model.input, model.get_layer("block5_pool").output)
    base.save_weights(str(folder / "no_top.h5"))
    return folder


@pytest.fixture
def model():
    classifier.start_session(0, inference=True)
    return classifier.build_classifier("VGG16", SIZE, len(NAMES))


def arrays(path, count):
    return [value for _, layer in read_layers(str(path))[:count] for value in layer]


@pytest.mark.parametrize("name, beside, layers, head", [
    ("no_top", None, 13, "new and random"), ("10", None, 13, "new and random"),
    ("3", None, 13, "new and random"), ("3", ["a", "b", "d"], 13, "new and random"),
    ("10", list("abcdefghij"), 13, "new and random"), ("3", NAMES, 14, "loaded")])
def test_the_base_is_loaded_and_the_top_where_its_classes_are_the_same(
        files, model, tmp_path, name, beside, layers, head):
    path = tmp_path / "w.h5"
    shutil.copy(str(files / (name + ".h5")), str(path))
    if beside is not None:
        (tmp_path / "w.json").write_text(json.dumps({"class_names": beside}))
    before = model.get_layer("logits").get_weights()
    loaded = load_weights(model, str(path), "VGG16", NAMES)
    assert (loaded["layers"], loaded["head"]) == (layers, head)
    assert loaded["file"] == "w.h5" and len(loaded["sha256"]) == 64
    found, expected = model.get_weights(), arrays(path, 14 if head == "loaded" else 13)
    for ours, theirs in zip(found, expected + before[len(expected) - 26:]):
        np.testing.assert_array_equal(ours, theirs)
    kept = all((ours == theirs).all() for ours, theirs in zip(found[26:], before))
    assert kept == (head != "loaded")


def cut(path):
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def reshape(path):
    with h5py.File(str(path), "r+") as file:
        layer = file["block3_conv2"]
        name = layer.attrs["weight_names"][0].decode()
        del layer[name]
        layer[name] = np.zeros((3, 3, 256, 255), np.float32)


@pytest.mark.parametrize("architecture, damage, message", [
    ("VGG16", cut, "w.h5: not an h5 file with Keras weights"),
    ("VGG16", lambda path: path.write_text("text"), "w.h5: not an h5 file with Keras weights"),
    ("VGG16", lambda path: path.unlink(), "w.h5: no such weights file"),
    ("VGG16", reshape, r"layer block3_conv2, number 6 .*256, 255.*expected .*256, 256"),
    ("ResNet50", None, r"not the weights of ResNet50: layer block1_conv1, number 1 with weights, "
                       r"has shapes .*\(3, 3, 3, 64\).*expected .*\(7, 7, 3, 64\).* as conv1"),
    ("InceptionV3", None, "not the weights of InceptionV3: layer block1_conv1")])
def test_a_file_that_does_not_fit_is_refused_with_the_layer_the_shapes_found_and_expected(
        files, tmp_path, architecture, damage, message):
    path = tmp_path / "w.h5"
    shutil.copy(str(files / "3.h5"), str(path))
    if damage:
        damage(path)
    classifier.start_session(0, inference=True)
    size = classifier.MIN_IMAGE_SIZE[architecture]
    model = classifier.build_classifier(architecture, size, len(NAMES))
    with pytest.raises(UserError, match=message):
        load_weights(model, str(path), architecture, NAMES)


def test_weights_of_an_architecture_with_more_layers_name_the_layer_that_is_missing(
        model, tmp_path):
    shallow = keras.Model(model.input, model.get_layer("block4_pool").output)
    shallow.save_weights(str(tmp_path / "w.h5"))
    with pytest.raises(UserError, match="10 layers with weights, expected 13 or more; layer "
                                        "block5_conv1 is missing"):
        load_weights(model, str(tmp_path / "w.h5"), "VGG16", NAMES)
