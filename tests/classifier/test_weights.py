"""Weights from any Keras file: without top, with any top, and files that do not fit."""

import glob
import json
import os
import shutil

import h5py
import keras_applications
import numpy as np
import pytest

from utils.classifier import architectures
from utils.classifier.frameworks import keras
from utils.classifier.keras_networks import KERAS_NETWORKS, address_of_weights
from utils.classifier.session import start_session
from utils.classifier.weights import load_weights, read_layers
from utils.common.errors import UserError

NAMES = ["a", "b", "c"]
SIZE = 32


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder of files of VGG16 with random weights: 3 and 10 classes, without top, without end."""
    folder = tmp_path_factory.mktemp("weights")
    start_session(1, inference=True)
    for classes in (3, 10):
        model = architectures.build_classifier("VGG16", SIZE, classes)
        model.save_weights(str(folder / "{}.h5".format(classes)))
    for name, last in (("no_top", "block5_pool"), ("shallow", "block4_pool")):
        base = keras.Model(model.input, model.get_layer(last).output)
        base.save_weights(str(folder / (name + ".h5")))
    return folder


def arrays(path, count):
    return [value for _, layer in read_layers(str(path))[:count] for value in layer]


@pytest.mark.parametrize("name, beside, layers, head", [
    ("no_top", None, 13, "new and random"), ("10", None, 13, "new and random"),
    ("3", None, 13, "new and random"), ("3", ["a", "b", "d"], 13, "new and random"),
    ("10", list("abcdefghij"), 13, "new and random"), ("3", NAMES, 14, "loaded")])
def test_the_base_is_loaded_and_the_top_where_its_classes_are_the_same(
        files, tmp_path, name, beside, layers, head):
    start_session(0, inference=True)
    model = architectures.build_classifier("VGG16", SIZE, len(NAMES))
    path = tmp_path / "w.h5"
    shutil.copy(str(files / (name + ".h5")), str(path))
    if beside is not None:
        (tmp_path / "w.json").write_text(json.dumps({"class_names": beside}))
    before = model.get_layer("logits").get_weights()
    loaded = load_weights(model, str(path), "VGG16", NAMES)
    assert (loaded.layers, loaded.head) == (layers, head)
    assert loaded.file == "w.h5" and len(loaded.sha256) == 64
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


@pytest.mark.parametrize("source, architecture, damage, message", [
    ("3", "VGG16", cut, "w.h5: not an h5 file with Keras weights"),
    ("3", "VGG16", lambda path: path.write_text("text"), "w.h5: not an h5 file with Keras weights"),
    ("3", "VGG16", lambda path: path.unlink(), "w.h5: no such weights file"),
    ("3", "VGG16", reshape, r"layer block3_conv2, number 6 .*256, 255.*expected .*256, 256"),
    ("shallow", "VGG16", str, "10 layers with weights, expected 13 or more; layer block5_conv1 is "
                              "missing"),
    ("3", "ResNet50", str, r"not the weights of ResNet50: layer block1_conv1, number 1 with "
     r"weights, has shapes .*\(3, 3, 3, 64\).*expected .*\(7, 7, 3, 64\).* as conv1"),
    ("3", "InceptionV3", str, "not the weights of InceptionV3: layer block1_conv1")])
def test_a_file_that_does_not_fit_is_refused_with_the_layer_the_shapes_found_and_expected(
        files, tmp_path, source, architecture, damage, message):
    path = tmp_path / "w.h5"
    shutil.copy(str(files / (source + ".h5")), str(path))
    damage(path)
    start_session(0, inference=True)
    model = architectures.build_classifier(
        architecture, architectures.MIN_IMAGE_SIZE[architecture], len(NAMES))
    with pytest.raises(UserError, match=message):
        load_weights(model, str(path), architecture, NAMES)


@pytest.mark.parametrize("architecture", sorted(KERAS_NETWORKS))
def test_the_weights_named_when_they_cannot_be_downloaded_are_those_that_keras_takes(architecture):
    network, folder = KERAS_NETWORKS[architecture], os.path.dirname(keras_applications.__file__)
    sources = "".join(open(path).read() for path in glob.glob(os.path.join(folder, "*.py")))
    assert network.md5 is None or network.md5 in sources
    assert address_of_weights(architecture).startswith("https://github.com/")
    name = os.path.basename(address_of_weights(architecture))
    assert "no" in name and "top" in name and name.endswith(".h5")
