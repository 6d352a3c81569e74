"""Networks that other code saved: built again without its code, or refused by name."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest

from utils.classifier import architectures
from utils.classifier.foreign_network import (
    build_network,
    layers_of_file,
    layers_of_weights,
    read_network,
    with_preprocessing,
)
from utils.classifier.frameworks import K, keras, layers, tf
from utils.classifier.keras_networks import keras_module
from utils.classifier.preprocessing import NAMED
from utils.classifier.session import start_session
from utils.common.errors import UserError
from utils.images.pixels import to_model_input

SIZE = 12


def image(shape=(SIZE, SIZE, 3)):
    start_session(1, inference=True)
    return keras.Input(shape)


def head(x, classes=3):
    return layers.Dense(classes, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def functional():
    x = image()
    y = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(4, 3)(x)))
    z = layers.Concatenate()([layers.SeparableConv2D(4, 3, padding="same")(y), y])
    z = layers.Multiply()([z, layers.LeakyReLU()(layers.Conv2D(8, 1, dilation_rate=2)(y))])
    return keras.Model(x, head(layers.ZeroPadding2D(((1, 0), (0, 2)))(z)))


def sequential():
    start_session(1, inference=True)
    return keras.Sequential([
        layers.Conv2D(4, 3, activation="elu", input_shape=(SIZE, SIZE, 3)), layers.MaxPooling2D(),
        layers.Dropout(0.5), layers.Flatten(), layers.Dense(6, activation="tanh"),
        layers.GaussianNoise(1.0), layers.Dense(1, activation="sigmoid")])


def base(frozen=False):
    x = keras.Input((SIZE, SIZE, 3))
    y = layers.Conv2D(4, 3, activation="relu", name="first")(x)
    y = layers.BatchNormalization(name="second")(y)
    model = keras.Model(x, layers.Conv2D(4, 3, name="third")(y), name="base")
    if frozen:
        model.get_layer("first").trainable = False
    return model


def model_in_sequential():
    start_session(1, inference=True)
    return keras.Sequential([base(), layers.GlobalAveragePooling2D(),
                             layers.Dense(3, activation="softmax")])


def half_frozen_model_in_model():
    x = image()
    return keras.Model(x, head(layers.Activation("relu")(base(frozen=True)(x))))


def sequential_in_model_in_model():
    x = image()
    inner = keras.Sequential([layers.Conv2D(4, 3, input_shape=(SIZE, SIZE, 3)),
                              layers.BatchNormalization(), layers.ReLU(6.0)])
    y = keras.Input((SIZE, SIZE, 3))
    return keras.Model(x, head(keras.Model(y, inner(y))(x)))


def model_that_was_built_twice_in_one_session():
    x = image()
    base()
    return keras.Model(x, head(base()(x)))


def layers_used_twice():
    x = image()
    convolution = layers.Conv2D(3, 3, padding="same", activation="relu")
    y = base()
    return keras.Model(x, head(layers.Add()([
        y(x), y(convolution(x)), y(convolution(convolution(x)))])))


def any_size():
    x = image((None, None, 3))
    return keras.Model(x, head(layers.Conv2D(4, 3)(x)))


def randomise(model):
    random = np.random.RandomState(0)
    model.set_weights([random.uniform(0.2, 1, w.shape) if w.ndim == 1 else w
                       for w in model.get_weights()])
    return model


def saved(tmp_path, model, name="theirs.h5"):
    path = str(tmp_path / name)
    model.save(path)
    return path


def images(n=3, size=SIZE, channels=3):
    return np.random.RandomState(2).uniform(-1, 1, (n, size, size, channels)).astype(np.float32)


@pytest.mark.parametrize("make", [
    functional, sequential, model_in_sequential, half_frozen_model_in_model,
    sequential_in_model_in_model, model_that_was_built_twice_in_one_session, layers_used_twice,
    any_size])
def test_a_whole_model_is_built_again_layer_by_layer_and_says_the_same(tmp_path, make):
    model = randomise(make())
    path, expected = saved(tmp_path, model), model.predict(images())
    start_session(0, inference=True)
    built = read_network(path)
    np.testing.assert_allclose(built.predict(images()), expected, rtol=1e-5, atol=1e-7)
    assert all(len(layer._inbound_nodes) == 1 and not hasattr(layer, "layers")
               for layer in built.layers)


def test_layers_of_newer_versions_that_vary_the_images_of_a_training_do_nothing(tmp_path):
    model = randomise(sequential())
    path, expected = saved(tmp_path, model), model.predict(images())

    def change(layers_of_model, config):
        layer = next(each for each in layers_of_model if each["class_name"] == "Dropout")
        layer.update(class_name="RandomFlip", config={
            "name": "flip", "trainable": True, "dtype": "float32", "mode": "horizontal"})

    change_config(change)(path)
    start_session(0, inference=True)
    np.testing.assert_allclose(read_network(path).predict(images()), expected, rtol=1e-5)


@pytest.mark.parametrize("name, channels", [("caffe", 3), ("torch", 3), ("rescale", 1)])
def test_with_its_preprocessing_a_network_takes_the_inputs_of_all_others(tmp_path, name, channels):
    x = image((SIZE, SIZE, channels))
    model = randomise(keras.Model(x, head(layers.Conv2D(4, 3, activation="relu")(x))))
    pixels = np.random.RandomState(3).randint(0, 256, (4, SIZE, SIZE, 3)).astype(np.uint8)
    if channels == 1:
        pixels = pixels[..., :1].repeat(3, axis=-1)
    offset, scale, is_bgr = NAMED[name]
    theirs = (pixels - np.array(offset)) / scale
    expected = model.predict((theirs[..., ::-1] if is_bgr else theirs)[..., :channels])
    layers_read, arrays = layers_of_file(saved(tmp_path, model))
    layers_read = with_preprocessing(layers_read, arrays, NAMED[name], SIZE)
    start_session(0, inference=True)
    ours = build_network(layers_read, arrays, "theirs.h5")
    assert ours.input_shape == (None, SIZE, SIZE, 3)
    np.testing.assert_allclose(ours.predict(to_model_input(pixels)), expected, rtol=1e-3, atol=1e-6)


def authors_network(architecture, classes, size):
    """As the authors' code of 2021 makes it: utils/model.py of hkthirano/MedicalAI-UAP."""
    start_session(1, inference=True)
    network = getattr(keras_module(architecture), architecture)(
        weights=None, include_top=False, input_shape=(size, size, 3), backend=K,
        models=keras.models, utils=keras.utils, layers=layers)
    x = layers.GlobalAveragePooling2D()(network.output)
    return keras.Model(network.input, layers.Dense(classes, activation="softmax")(x))


def test_weights_alone_are_read_in_order_whatever_their_names_are(tmp_path):
    model = randomise(authors_network("VGG19", 7, 32))
    path, expected = str(tmp_path / "vgg19.h5"), model.predict(images(2, 32))
    model.save_weights(path)
    layers_read, arrays = layers_of_weights(path, "VGG19", 32, 7)
    start_session(0, inference=True)
    network = build_network(layers_read, arrays, path)
    np.testing.assert_allclose(network.predict(images(2, 32)), expected, rtol=1e-5)


def test_the_weights_of_the_authors_grey_networks_are_those_of_the_network_within(tmp_path):
    inner = authors_network("VGG16", 2, 32)
    inner = keras.Model(inner.input, inner.layers[-3].output, name="vgg16")
    grey = keras.Input((32, 32, 1))
    x = layers.Lambda(lambda image: tf.image.grayscale_to_rgb(image))(grey)
    model = keras.Model(grey, head(inner(x), classes=2))
    path, expected = str(tmp_path / "vgg16.h5"), model.predict(images(2, 32, 1))
    model.save_weights(path)
    layers_read, arrays = layers_of_weights(path, "VGG16", 32, 2)
    start_session(0, inference=True)
    network = build_network(layers_read, arrays, path)
    np.testing.assert_allclose(network.predict(images(2, 32, 1).repeat(3, axis=-1)), expected,
                               rtol=1e-5)


# Each of these makes a file that is refused.

def with_lambda():
    x = image()
    return keras.Model(x, head(layers.Lambda(lambda y: y * 2, name="doubled")(x)))


class Doubling(layers.Layer):
    def call(self, x):
        return 2 * x


def with_custom_layer():
    x = image()
    return keras.Model(x, head(Doubling(name="mine")(x)))


def with_custom_activation():
    def doubled(x):
        return 2 * x

    x = image()
    return keras.Model(x, head(layers.Conv2D(4, 3, activation=doubled, name="mine")(x)))


def with_two_inputs():
    x, y = image(), keras.Input((SIZE, SIZE, 3))
    return keras.Model([x, y], head(layers.Add()([x, y])))


def with_two_outputs():
    x = image()
    return keras.Model(x, [head(x), head(x)])


def with_channels_first():
    x = image((3, SIZE, SIZE))
    y = layers.Flatten()(layers.ZeroPadding2D(data_format="channels_first")(x))
    return keras.Model(x, layers.Dense(3, activation="softmax")(y))


def with_lstm():
    x = image()
    y = layers.LSTM(4, name="memory")(layers.Reshape((SIZE, 3 * SIZE))(x))
    return keras.Model(x, layers.Dense(3, activation="softmax")(y))


def of_vectors():
    start_session(1, inference=True)
    return keras.Sequential([layers.Dense(3, activation="softmax", input_shape=(5,))])


def of_four_channels():
    x = image((SIZE, SIZE, 4))
    return keras.Model(x, head(x))


@pytest.mark.parametrize("make, message", [
    (with_lambda, r'layer "doubled" \(Lambda\): a Lambda layer is code .* never run'),
    (with_custom_layer, r'layer "mine" \(Doubling\): layers of other classes cannot be built'),
    (with_custom_activation, r'layer "mine" has the activation doubled, a function of its author'),
    (with_two_inputs, "the model has 2 inputs; expected one"),
    (with_two_outputs, "the model has 2 outputs; expected one"),
    (with_channels_first, r"channels first, \(3, 12, 12\); expected channels last"),
    (with_lstm, r'layer "memory" \(LSTM\): layers of other classes'),
    (of_vectors, r"inputs of shape \(5,\); expected images"),
    (of_four_channels, "images of 4 channels; expected 3, or 1"),
])
def test_a_model_that_cannot_be_attacked_here_is_refused_by_name(tmp_path, make, message):
    path = saved(tmp_path, make())
    with pytest.raises(UserError, match=r"theirs\.h5: .*" + message) as refusal:
        read_network(path)
    assert "\n" not in str(refusal.value)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The path of a file that is read."""
    return saved(tmp_path_factory.mktemp("good"), randomise(functional()))


def change_config(change):
    """Damage: change(layers, config) changes the model_config of a file."""
    def damage(path):
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config["config"]["layers"], config)
            file.attrs["model_config"] = json.dumps(config).encode()
    return damage


def setting(class_name, **settings):
    def change(layers_of_model, config):
        layer = next(each for each in layers_of_model if each["class_name"] == class_name)
        layer["config"].update(settings)
    return change_config(change)


def rename(class_name, other):
    def change(layers_of_model, config):
        next(each for each in layers_of_model if each["class_name"] == class_name).update(
            class_name=other)
    return change_config(change)


def attribute(name, value):
    def damage(path):
        with h5py.File(path, "r+") as file:
            file.attrs[name] = value
    return damage


def as_text(name):
    """A name in an h5 file, which h5py reads as bytes or as text, depending on its version."""
    return name.decode() if isinstance(name, bytes) else name


def names_as_text(path):
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        names = [as_text(name) for name in group.attrs["layer_names"]]
        del group.attrs["layer_names"]
        group.attrs.create("layer_names", names, dtype=h5py.special_dtype(vlen=str))


def not_a_number(path):
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        name, = [name for name in group if "separable" in name]
        group[name][name]["depthwise_kernel:0"][...] = np.nan


def without_model(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["model_config"]


def without_weights_of_a_layer(path):
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        names = [as_text(name) for name in group.attrs["layer_names"]]
        group.attrs["layer_names"] = np.array(
            [name.encode() for name in names if "separable" not in name])


def folder(path):
    os.remove(path)
    os.makedirs(os.path.join(path, "variables"))


def text(content):
    def damage(path):
        with open(path, "wb") as file:
            file.write(content)
    return damage


def remove_first(layers_of_model, config):
    del layers_of_model[1]


def nest(path):
    attribute("model_config", b"[" * 100000)(path)


@pytest.mark.parametrize("damage, message", [
    (folder, "a folder"), (text(b"PK\x03\x04"), "Keras 3"), (text(b"hello"), "not an h5 file"),
    (attribute("keras_version", b"3.4.1"),
     r"written by Keras 3.4.1, expected a file of Keras 2; build the same network in Keras 2"),
    (names_as_text, "the names of its layers are text"),
    (not_a_number, "separable.* infinite or no numbers"),
    (without_model, "holds weights and no model; give --model ARCHITECTURE"),
    (without_weights_of_a_layer, r"separable.* have the shapes \[\], expected \[\(3, 3, 4, 1\)"),
    (attribute("model_config", b"{"), "model_config is not JSON|not an h5 file"),
    (nest, "model_config is not JSON|not an h5 file"),
    (attribute("model_config", b"[]"), "model_config is not one of Keras|not an h5 file"),
    (setting("Conv2D", groups=2), r"has the setting groups = 2"),
    (rename("Conv2D", "Rescaling"), r"\(Rescaling\): .*without them, and say with --preprocessing"),
    (setting("Conv2D", filters="many"), r"\(Conv2D\) cannot be built"),
    (setting("Conv2D", filters=5), r"have the shapes .*3, 3, 3, 4.*expected .*3, 3, 3, 5"),
    (setting("Conv2D", activation="eval"), "activation eval, a function of its author's"),
    (setting("Conv2D", activation={"class_name": "x"}), "activation"),
    (change_config(remove_first), "takes its input from no layer"),
    (change_config(lambda _, config: config.update(class_name="Theirs")), "the model is a Theirs"),
])
def test_a_file_that_is_damaged_or_something_else_is_refused(tmp_path, good, damage, message):
    path = str(tmp_path / "theirs.h5")
    shutil.copy(good, path)
    damage(path)
    start_session(0, inference=True)
    with pytest.raises(UserError, match=r"theirs\.h5: .*(" + message + ")") as refusal:
        read_network(path)
    assert "\n" not in str(refusal.value)


def test_code_in_a_file_is_never_run(tmp_path):
    """Keras' own load_model would run it."""
    mark = str(tmp_path / "was_run")

    def leave_a_mark(x, path=mark):
        open(path, "w").close()
        return x

    x = image()
    path = saved(tmp_path, keras.Model(x, head(layers.Lambda(leave_a_mark)(x))))
    os.remove(mark)
    keras.models.load_model(path)
    assert os.path.exists(mark)
    os.remove(mark)
    with pytest.raises(UserError, match="Lambda"):
        read_network(path)
    assert not os.path.exists(mark)


@pytest.mark.parametrize("architecture, message", [
    ("VGG16", "not the weights of VGG16: layer block3_conv4, number 8 with weights, has shapes"),
    ("ResNet50", "not the weights of ResNet50: layer block1_conv1, number 1 with weights")])
def test_weights_of_another_architecture_are_refused(tmp_path, architecture, message):
    path = str(tmp_path / "vgg19.h5")
    authors_network("VGG19", 7, 32).save_weights(path)
    with pytest.raises(UserError, match=message):
        layers_of_weights(path, architecture, architectures.MIN_IMAGE_SIZE[architecture], 7)
