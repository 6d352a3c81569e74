"""Weights from any Keras file: without top, with any top, and files that do not fit."""

import email.message
import glob
import hashlib
import io
import json
import os
import shutil
import threading
import types
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import h5py
import keras_applications
import numpy as np
import pytest

from utils.classifier import architectures
from utils.classifier.frameworks import keras
from utils.classifier.keras_networks import KERAS_NETWORKS, address_of_weights
from utils.classifier.session import start_session
from utils.classifier.weights import imagenet_weights, load_weights, read_layers
from utils.common.errors import UserError
from utils.common.hashes import md5_of_file

NAMES = ["a", "b", "c"]
SIZE = 32


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder of files of VGG16 with random weights: 3 and 10 classes, without top, without end."""
    folder = tmp_path_factory.mktemp("weights")
    start_session(1, inference=True)
    for classes in (3, 10):
        model = architectures.build_classifier("VGG16", SIZE, classes)
        model.save_weights(str(folder / f"{classes}.h5"))
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


def names_in(group, attribute):
    """A list of names in the attributes of an h5 group, which h5py gives as text or as bytes."""
    return [name.decode() if isinstance(name, bytes) else name for name in group.attrs[attribute]]


def cut(path):
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])


def reshape(path):
    with h5py.File(str(path), "r+") as file:
        layer = file["block3_conv2"]
        name = names_in(layer, "weight_names")[0]
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


def h5_bytes():
    """An h5 file of more than 64 KiB, as bytes."""
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5["kernel"] = np.arange(1 << 13, dtype=np.float64)
    return file.getvalue()


BODY = h5_bytes()  # stands for the ImageNet weights
MD5 = hashlib.md5(BODY).hexdigest()


class Answer(io.BytesIO):
    """A server's answer with a body; `pause` is called before the byte at `place` is read."""

    def __init__(self, body, place=0, pause=lambda: None):
        super().__init__(body)
        self.length, self.place, self.pause = len(body), place, pause

    def info(self):
        headers = email.message.Message()
        headers["Content-Length"] = str(self.length)
        return headers

    def read(self, size=-1):
        if self.tell() == self.place:
            self.pause()
        return super().read(size)


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """List of what the server answers, in order, in place of any connection; and a new home."""
    queue = []

    def answer(*_):
        if not queue:
            raise urllib.error.URLError("no connection")
        return queue.pop(0)

    (tmp_path / ".keras").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", types.SimpleNamespace(open=answer))
    monkeypatch.setitem(KERAS_NETWORKS, "VGG16", KERAS_NETWORKS["VGG16"]._replace(md5=MD5))
    return queue


@pytest.mark.parametrize("architecture", ["VGG16", "MobileNet"])  # whose MD5 is known, and is not
def test_of_two_first_downloads_at_once_each_ends_with_the_whole_file(answers, architecture):
    second_began, first_ended = threading.Event(), threading.Event()

    def download():
        return md5_of_file(imagenet_weights(architecture))

    def begin_the_second():
        second.append(pool.submit(download))
        second[0].add_done_callback(lambda _: second_began.set())
        second_began.wait(10)

    def wait_for_the_first():
        second_began.set()
        first_ended.wait(10)

    second = []
    answers += [Answer(BODY, 1 << 15, begin_the_second),
                Answer(BODY, 0, wait_for_the_first)]
    with ThreadPoolExecutor(1) as pool:
        found = download()
        first_ended.set()
    assert [found, second[0].result()] == [MD5, MD5]


@pytest.mark.parametrize("architecture", ["VGG16", "MobileNet"])
def test_a_download_that_ends_early_is_refused_and_a_file_that_does_is_replaced(
        answers, tmp_path, architecture):
    folder = tmp_path / ".keras" / "models"
    folder.mkdir()
    path = folder / os.path.basename(address_of_weights(architecture))
    path.write_bytes(BODY[:-2])
    answers += [Answer(BODY[:-1]), Answer(BODY)]
    with pytest.raises(UserError, match="what came is not that file, or not all of it"):
        imagenet_weights(architecture)
    assert path.read_bytes() == BODY[:-2]
    assert imagenet_weights(architecture) == str(path) and path.read_bytes() == BODY
    assert os.listdir(str(folder)) == [path.name]


@pytest.mark.parametrize("variable, home", [("HOME", ".keras"), ("KERAS_HOME", ".")])
def test_the_folder_named_without_a_connection_is_where_the_weights_are_looked_for(
        answers, tmp_path, monkeypatch, variable, home):
    monkeypatch.setenv(variable, str(tmp_path))
    folder = tmp_path / home / "models"
    with pytest.raises(UserError, match=f"put it into {folder}, "):
        imagenet_weights("VGG16")
    path = folder / os.path.basename(address_of_weights("VGG16"))
    folder.mkdir(exist_ok=True)
    path.write_bytes(BODY)
    assert imagenet_weights("VGG16") == str(path)


def small_file(path):
    """An h5 file of Keras' layout: two convolutions."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"first", b"second"]
        for name in ("first", "second"):
            layer = file.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/kernel:0".encode()]
            layer[name + "/kernel:0"] = np.ones((3, 3, 2, 4), np.float32)


# What is done to a weight of a file, the kernel of the layer `second`; words of the message.
def as_text(layer, name):
    layer[name] = "weights"


def as_compound(layer, name):
    layer.create_dataset(name, (3, 3), np.dtype([("a", "f4"), ("b", "f4")]))


def as_group(layer, name):
    layer.create_group(name)


def as_integers(layer, name):
    layer[name] = np.zeros((3, 3, 2, 4), np.int64)


def as_too_many(layer, name):
    layer.create_dataset(name, (2 ** 40,), np.float32, chunks=(2 ** 20,))


def as_nan(layer, name):
    layer[name] = np.full((3, 3, 2, 4), np.nan, np.float32)


def as_infinite(layer, name):
    layer[name] = np.full((3, 3, 2, 4), np.inf, np.float32)


def as_empty(layer, name):
    layer[name] = h5py.Empty("f")


def as_external_link(layer, name):
    layer[name] = h5py.ExternalLink("other.h5", "/second/" + name)


def as_soft_link(layer, name):
    layer[name] = h5py.SoftLink("/first/first/kernel:0")


def as_external_storage(layer, name):
    layer.create_dataset(name, (3, 3, 2, 4), np.float32,
                         external=[("other.raw", 0, 4 * 9 * 2 * 4)])


def as_virtual(layer, name):
    virtual = h5py.VirtualLayout((3, 3, 2, 4), np.float32)
    virtual[...] = h5py.VirtualSource("other.h5", "/second/" + name, (3, 3, 2, 4))
    layer.create_virtual_dataset(name, virtual)


@pytest.mark.parametrize("replace, words", [
    (as_text, "of type"), (as_compound, "of type"), (as_group, "a group"),
    (as_integers, "of type int64"), (as_too_many, "layer second need 4398.0 GB"),
    (as_nan, "infinite or no numbers"), (as_infinite, "infinite or no numbers"),
    (as_empty, "empty"), (as_external_link, "link to another place"),
    (as_soft_link, "link to another place"), (as_external_storage, "kept in another file"),
    (as_virtual, "kept in another file")])
def test_weights_that_are_no_numbers_of_this_file_are_refused_in_one_line(
        tmp_path, monkeypatch, replace, words):
    monkeypatch.chdir(tmp_path)
    for path in ("other.h5", "w.h5"):
        small_file(path)
    assert [layer.name for layer in read_layers("w.h5")] == ["first", "second"]
    with open("other.raw", "wb") as file:
        file.write(bytes(4 * 9 * 2 * 4))
    with h5py.File("w.h5", "r+") as file:
        del file["second"]["second/kernel:0"]
        replace(file["second"], "second/kernel:0")
    with pytest.raises(UserError) as error:
        read_layers("w.h5")
    message = str(error.value)
    assert message.startswith("w.h5: ") and words in message and "second" in message
    assert "\n" not in message


def test_shapes_are_compared_before_anything_is_read(files, tmp_path):
    path = str(tmp_path / "w.h5")
    shutil.copy(str(files / "no_top.h5"), path)
    with h5py.File(path, "r+") as file:
        name = names_in(file["block1_conv1"], "weight_names")[0]
        del file["block1_conv1"][name]
        as_too_many(file["block1_conv1"], name)
    start_session(0, inference=True)
    model = architectures.build_classifier("VGG16", SIZE, len(NAMES))
    with pytest.raises(UserError, match=r"layer block1_conv1, .*\(1099511627776,\)"):
        load_weights(model, path, "VGG16", NAMES)


def test_a_whole_group_in_another_file_is_refused(files, tmp_path):
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(files / "no_top.h5"), "/")
    with pytest.raises(UserError, match="model_weights is a link to another place"):
        read_layers(path)


def with_names_as_text(source, target):
    with h5py.File(source, "r") as a, h5py.File(target, "w") as b:
        names = names_in(a, "layer_names")
        b.attrs.create("layer_names", names, dtype=h5py.special_dtype(vlen=str))
        for name in names:
            weights = names_in(a[name], "weight_names")
            group = b.create_group(name)
            group.attrs.create("weight_names", weights, dtype=h5py.special_dtype(vlen=str))
            for each in weights:
                group.create_dataset(each, data=a[name][each][()])


def with_names_in_parts(source, target):
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:7], names[7:]


@pytest.mark.parametrize("rewrite", [with_names_as_text, with_names_in_parts])
def test_names_as_text_and_names_in_parts_are_read(files, tmp_path, rewrite):
    source, target = str(files / "no_top.h5"), str(tmp_path / "w.h5")
    rewrite(source, target)
    for expected, found in zip(read_layers(source), read_layers(target)):
        assert expected.name == found.name
        for array, same in zip(expected.arrays, found.arrays):
            np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("save", ["save", "save_weights"])
def test_a_model_that_is_a_layer_is_read_in_its_order_even_where_some_layers_were_frozen(
        tmp_path, save):
    start_session(0, inference=False)
    image = keras.Input((9, 9, 3))
    x = keras.layers.Conv2D(4, 3, name="first")(image)
    x = keras.layers.BatchNormalization(name="normalised")(x)
    base = keras.Model(image, keras.layers.Conv2D(5, 3, name="second")(x), name="base")
    if save == "save":
        base.get_layer("first").trainable = False  # Keras lists its weights last
    model = keras.Sequential([base, keras.layers.GlobalAveragePooling2D(),
                              keras.layers.Dense(2, name="top")])
    getattr(model, save)(str(tmp_path / "w.h5"))
    expected = {layer.name: layer.get_weights() for layer in base.layers + model.layers[1:]}
    found = read_layers(str(tmp_path / "w.h5"))
    assert [layer.name for layer in found] == ["first", "normalised", "second", "top"]
    for layer in found:
        for array, same in zip(expected[layer.name], layer.arrays):
            np.testing.assert_array_equal(array, same)


def as_keras_3_weights(path):
    with h5py.File(str(path), "w") as file:
        file.create_dataset("layers/block1_conv1/vars/0", data=np.zeros((3, 3, 3, 64)))


def as_keras_3_archive(path):
    path.write_bytes(b"PK\x03\x04 and more")


@pytest.mark.parametrize("write, words", [
    (as_keras_3_weights, ["no layer_names", "Keras 3", 'model.save("FILE.h5")']),
    (as_keras_3_archive, ["a zip file", "Keras 3", 'model.save("FILE.h5")']),
    (lambda path: path.mkdir(), ["a folder", "SavedModel", 'model.save("FILE.h5")'])])
def test_files_of_other_kinds_are_refused_with_what_to_do(tmp_path, write, words):
    path = tmp_path / "w.h5"
    write(path)
    with pytest.raises(UserError) as error:
        read_layers(str(path))
    assert all(word in str(error.value) for word in words)


def test_the_resnet50_of_newer_versions_is_refused_as_another_network(tmp_path):
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv1_conv", b"conv2_block1_0_conv"]
        for name in names_in(file, "layer_names"):
            group = file.create_group(name)
            group.attrs["weight_names"] = [(name + "/kernel:0").encode()]
            group.create_dataset(name + "/kernel:0", data=np.zeros((1, 1)))
    start_session(0, inference=True)
    model = architectures.build_classifier("ResNet50", SIZE, len(NAMES))
    with pytest.raises(UserError, match="the ResNet50 that Keras has had since 2.2.5"):
        load_weights(model, path, "ResNet50", NAMES)


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_images_that_no_memory_can_hold_are_refused_before_a_network_is_built(architecture):
    with pytest.raises(UserError, match="image size 100000, .*for a single image need 1280"):
        architectures.require_buildable(architecture, 100000, "--image-size")
    architectures.require_buildable(architecture, 299, "--image-size")
