"""The hand-written backward pass against tf.gradients of the Keras model."""

import keras
import keras.backend as K
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from utils import classifier
from utils.attack.graph import AttackGraph
from utils.attack.fast_gradients import FastGradients
from utils.attack.layer_passes import Relu
from utils.attack.network_rewriting import UnsupportedLayer

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


def image(size, seed=1):
    return np.random.RandomState(seed).uniform(-1, 1, (1, size, size, 3)).astype(np.float32)


def classifier_of(image_input, x):
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image_input, layers.Dense(CLASSES, name="logits")(x))
    randomise(model)
    return model


def expected_jacobian(model, x):
    """Logits (K,) and the gradient of each, (K, h, w, 3), by plain tf.gradients."""
    f = model.get_layer("logits").output
    which = tf.placeholder(tf.float32, f.shape)
    gradient = tf.gradients(f, model.input, grad_ys=which)[0]
    run = K.get_session().run
    return run(f, {model.input: x})[0], np.concatenate(
        [run(gradient, {model.input: x, which: [row]}) for row in np.eye(int(f.shape[1]))])


def assert_same(model, x):
    """The logits and their Jacobian agree up to float32 rounding."""
    fast = FastGradients(model, K.get_session())
    jacobian = fast.vector_jacobian(tf.eye(int(fast.logits.shape[1])))
    f, w = K.get_session().run((fast.logits, jacobian), {fast.input: x})
    expected_f, expected_w = expected_jacobian(model, x)
    np.testing.assert_allclose(f[0], expected_f, rtol=1e-4, atol=1e-4 * np.abs(expected_f).max())
    assert w.shape == expected_w.shape
    for found, expected in zip(w, expected_w):
        assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
    return f[0], w


@pytest.mark.parametrize("architecture", classifier.ARCHITECTURES)
def test_the_studys_architectures(architecture):
    classifier.start_session(0, inference=True)
    size = SIZES[architecture]
    model = classifier.build_classifier(architecture, size, CLASSES)
    randomise(model)
    x = image(size)
    f, w = assert_same(model, x)

    top = int(f.argmax())
    graph = AttackGraph(model)
    found = np.delete(graph.boundary_gradients_to_leave(x[0], top)[1], top, axis=0)
    assert found.shape == (CLASSES - 1, size, size, 3)
    expected = np.delete(w, top, axis=0) - w[top]
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
    for other in set(range(CLASSES)) - {top}:
        assert graph.boundary_gradients_to_leave(x[0], other)[1] is None


@pytest.mark.parametrize("architecture", classifier.ARCHITECTURES)
def test_gradients_are_exact_where_rectifiers_agree_and_these_differ_only_next_to_0(architecture):
    classifier.start_session(0, inference=True)
    size = SIZES[architecture]
    model = classifier.build_classifier(architecture, size, CLASSES)
    randomise(model)
    fast = FastGradients(model, K.get_session())
    cotangent = tf.one_hot([0], CLASSES)
    plain = tf.gradients(model.get_layer("logits").output, model.input, cotangent)[0]
    ours = [fast.values[layer] for layer in fast.layers if isinstance(layer, Relu)]
    theirs = [layer.output for layer in model.layers
              if getattr(layer, "activation", None) is keras.activations.relu]
    fetched = (fast.vector_jacobian(cotangent), plain, ours, theirs)
    exact = 0
    for seed in range(6):
        x = image(size, seed)
        found, expected, ours, theirs = K.get_session().run(fetched, {fast.input: x})
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
    classifier.start_session(0, inference=True)
    image_input = keras.Input((size, size, 3))
    x = layers.Conv2D(5, 1, activation="relu")(image_input)
    x = layers.Conv2D(6, kernel, strides=strides, padding=padding, use_bias=False)(x)
    x = layers.BatchNormalization(scale=False)(x)
    assert_same(classifier_of(image_input, layers.Activation("relu")(x)), image(size))


@pytest.mark.parametrize("size", [12, 13])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("pool, strides", [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
def test_poolings(pooling, pool, strides, padding, size):
    classifier.start_session(0, inference=True)
    image_input = keras.Input((size, size, 3))
    x = layers.Conv2D(5, 3, activation="relu")(image_input)
    x = pooling(pool, strides=strides, padding=padding)(x)
    assert_same(classifier_of(image_input, layers.Conv2D(4, 1, activation="relu")(x)), image(size))


def test_a_pooling_of_two_users():
    classifier.start_session(0, inference=True)
    image_input = keras.Input((9, 9, 3))
    x = layers.AveragePooling2D(3, strides=1, padding="same")(image_input)
    x = layers.Concatenate()([layers.Conv2D(2, 1)(x), layers.Conv2D(2, 1, activation="relu")(x)])
    assert_same(classifier_of(image_input, x), image(9))


def test_the_first_of_equal_maxima_gets_the_gradient_as_in_tensorflow():
    classifier.start_session(0, inference=True)
    image_input = keras.Input((9, 9, 3))
    x = layers.MaxPooling2D(3, strides=2)(image_input)
    model = classifier_of(image_input, layers.Conv2D(4, 1)(x))
    assert_same(model, np.round(2 * image(9)))


def test_logits_of_a_batch():
    classifier.start_session(0, inference=True)
    image_input = keras.Input((9, 9, 3))
    model = classifier_of(image_input, layers.Conv2D(5, 3, activation="relu")(image_input))
    x = np.concatenate([image(9), 2 * image(9), -image(9)])
    fast = FastGradients(model, K.get_session())
    np.testing.assert_allclose(K.get_session().run(fast.logits, {model.input: x}),
                               model.predict(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [
    lambda x: layers.DepthwiseConv2D(3)(x),
    lambda x: layers.Conv2D(4, 3, dilation_rate=2)(x),
    lambda x: layers.Conv2D(4, 3, activation="tanh")(x),
    lambda x: layers.BatchNormalization()(x),
    lambda x: layers.BatchNormalization()(layers.Activation("relu")(layers.Conv2D(4, 3)(x))),
    lambda x: layers.Concatenate(axis=1)([x, x]),
])
def test_a_layer_without_a_backward_pass_is_refused(make):
    classifier.start_session(0, inference=True)
    image_input = keras.Input((9, 9, 3))
    with pytest.raises(UnsupportedLayer, match="layer \""):
        FastGradients(classifier_of(image_input, make(image_input)), K.get_session())
