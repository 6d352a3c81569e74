"""The hand-written backward pass against tf.gradients of the Keras model."""

import keras
import keras.backend as K
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from test_attack_graph import images, logit_gradients

from utils.attack.gradients.graph import AttackGraph
from utils.attack.gradients.layer_passes import Relu
from utils.classifier import architectures
from utils.classifier.session import start_session

CLASSES = 4
SIZES = {"VGG16": 33, "ResNet50": 64, "InceptionV3": 75}


def randomise(model):
    """Biases, and batch normalisation that differs from the identity, as after training."""
    random = np.random.RandomState(0)
    values = []
    for layer in model.layers:
        for weight in layer.weights:
            if len(weight.shape) == 1:
                low, high = (-0.3, 0.3) if weight.name.split("/")[-1][:4] in (
                    "bias", "beta", "movi") and "variance" not in weight.name else (0.5, 1.5)
                values.append((weight, random.uniform(low, high, weight.shape.as_list())))
    K.batch_set_value(values)


def of_architecture(architecture):
    """(model, its image size)."""
    start_session(0, inference=True)
    model = architectures.build_classifier(architecture, SIZES[architecture], CLASSES)
    randomise(model)
    return model, SIZES[architecture]


def of_layers(make, size=9):
    """The classifier that takes the logits from what `make` makes of an image."""
    start_session(0, inference=True)
    image = keras.Input((size, size, 3))
    x = layers.GlobalAveragePooling2D()(make(image))
    model = keras.Model(image, layers.Dense(CLASSES, name="logits")(x))
    randomise(model)
    return model


def assert_same(model, x):
    """The logits of x, (n, h, w, 3), and the Jacobian of its first image agree up to float32
    rounding. Returns both, of the latter."""
    graph = AttackGraph(model)
    f = graph.logits(x)
    expected = keras.Model(model.input, model.get_layer("logits").output).predict(x)
    np.testing.assert_allclose(f, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    w = K.get_session().run(graph.vector_jacobian(tf.eye(CLASSES)), {model.input: x[:1]})
    for found, gradient in zip(w, logit_gradients(model, x[0])):
        assert np.linalg.norm(found - gradient) < 1e-4 * np.linalg.norm(gradient)
    return f[0], w


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_the_studys_architectures(architecture):
    model, size = of_architecture(architecture)
    x = images(1, size)
    f, w = assert_same(model, x)
    top = int(f.argmax())
    found = np.delete(AttackGraph(model).boundary_gradients_to_leave(x[0], top)[1], top, axis=0)
    assert found.shape == (CLASSES - 1, size, size, 3)
    expected = np.delete(w, top, axis=0) - w[top]
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("architecture", architectures.ARCHITECTURES)
def test_gradients_are_exact_where_rectifiers_agree_and_these_differ_only_next_to_0(architecture):
    model, size = of_architecture(architecture)
    graph = AttackGraph(model)
    cotangent = tf.one_hot([0], CLASSES)
    plain = tf.gradients(model.get_layer("logits").output, model.input, cotangent)[0]
    ours = [graph.outputs[layer] for layer in graph.passes if isinstance(layer, Relu)]
    theirs = [layer.output for layer in model.layers
              if getattr(layer, "activation", None) is keras.activations.relu]
    fetched = (graph.vector_jacobian(cotangent), plain, ours, theirs)
    exact = 0
    for seed in range(6):
        found, expected, ours, theirs = K.get_session().run(
            fetched, {model.input: images(1, size, seed)})
        assert len(ours) == len(theirs)
        agree = True
        for a, b in zip(ours, theirs):
            b = b[:, ::round(b.shape[1] / a.shape[1]), ::round(b.shape[2] / a.shape[2])]  # thinned
            differ = (a > 0) != (b > 0)
            assert (np.maximum(a, b)[differ] < 1e-4 * b.max()).all()
            agree = agree and not differ.any()
        if agree:
            exact += 1
            assert np.linalg.norm(found - expected) < 3e-6 * np.linalg.norm(expected)
    assert exact > 2


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (3, 3), (2, 1), (3, 2)])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3), (5, 4)])
def test_convolutions(kernel, strides, padding, size):
    def make(x):
        x = layers.Conv2D(5, 1, activation="relu")(x)
        x = layers.Conv2D(6, kernel, strides=strides, padding=padding, use_bias=False)(x)
        return layers.Activation("relu")(layers.BatchNormalization(scale=False)(x))

    assert_same(of_layers(make, size), images(1, size))


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("pool, strides", [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_poolings(pooling, pool, strides, padding, size):
    def make(x):
        x = pooling(pool, strides=strides, padding=padding)(layers.Conv2D(5, 3)(x))
        return layers.Conv2D(4, 1, activation="relu")(x)

    assert_same(of_layers(make, size), images(1, size))


def test_a_pooling_of_two_users():
    def make(x):
        x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
        return layers.Concatenate()([layers.Conv2D(2, 1)(x),
                                     layers.Conv2D(2, 1, activation="relu")(x)])

    assert_same(of_layers(make), images(3, 9))


def test_the_first_of_equal_maxima_gets_the_gradient_as_in_tensorflow():
    assert_same(of_layers(lambda x: layers.Conv2D(4, 1)(layers.MaxPooling2D(3, strides=2)(x))),
                np.round(2 * images(1, 9)))


@pytest.mark.parametrize("make", [
    lambda x: layers.DepthwiseConv2D(3)(x),
    lambda x: layers.Conv2D(4, 3, dilation_rate=2)(x),
    lambda x: layers.Conv2D(4, 3, activation="tanh")(x),
    lambda x: layers.BatchNormalization()(x),
    lambda x: layers.BatchNormalization()(layers.Activation("relu")(layers.Conv2D(4, 3)(x))),
    lambda x: layers.Concatenate(axis=1)([x, x]),
])
def test_a_layer_without_a_backward_pass_is_refused(make):
    with pytest.raises(ValueError, match="layer \".* has no backward pass"):
        AttackGraph(of_layers(make))
