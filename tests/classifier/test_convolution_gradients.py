"""Gradients by forward convolutions are those that TensorFlow gives."""

import contextlib

import numpy as np
import pytest

from utils.classifier import convolution_gradients
from utils.classifier.convolution_gradients import flipped_kernel_gradients, gradients_for_training
from utils.classifier.frameworks import K, tf
from utils.classifier.session import start_session

EXPLICIT = [[0, 0], [1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize("strides", ((1, 1), (2, 2), (2, 3)))
@pytest.mark.parametrize("size, padding", [
    (size, padding) for size in ((1, 1), (2, 2), (3, 3), (1, 7)) for padding in ("SAME", "VALID")
] + [((2, 2), EXPLICIT), ((5, 3), EXPLICIT)])
def test_the_flipped_kernel_gradients_of_a_convolution_are_tensorflows(size, padding, strides):
    random, found = np.random.RandomState(0), []
    image, kernel = random.normal(size=(2, 9, 10, 4)), random.normal(size=size + (4, 5))
    for context in (contextlib.suppress, flipped_kernel_gradients):
        start_session(0, inference=False)
        values = [K.variable(image), K.variable(kernel)]
        with context():
            y = tf.nn.conv2d(*values, (1,) + strides + (1,), padding)
        found.append(K.get_session().run(tf.gradients(y ** 2, values)))
        kinds = {op.type for op in tf.get_default_graph().get_operations()}
    for quick, expected in zip(found[1], found[0]):
        np.testing.assert_allclose(quick, expected, atol=1e-4)
    assert ("Conv2DBackpropInput" in kinds) == (strides != (1, 1) and size != (1, 1))


def with_and_without(image_channels, kernel_size, **options):
    """The gradients of a convolution with respect to image and kernel: TensorFlow's, the quick."""
    random, found = np.random.RandomState(0), []
    image = random.normal(size=(2, 9, 10, image_channels))
    kernel = random.normal(size=kernel_size + (image_channels, 5))
    for context in (contextlib.suppress, flipped_kernel_gradients):
        start_session(0, inference=False)
        values = [K.variable(image), K.variable(kernel)]
        with context():
            y = tf.nn.convolution(*values, padding="VALID", **options)
        found.append(K.get_session().run(tf.gradients(y ** 2, values)))
    return found


@pytest.mark.parametrize("strides", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kernel_size", [(1, 1), (3, 3)])
def test_a_convolution_of_an_image_ends_with_tensorflows_gradients(kernel_size, strides):
    for expected, quick in zip(*with_and_without(3, kernel_size, strides=strides)):
        np.testing.assert_allclose(quick, expected, atol=1e-4)


def test_a_dilated_convolution_has_tensorflows_gradients():
    for expected, quick in zip(*with_and_without(4, (3, 3), dilation_rate=(2, 2))):
        np.testing.assert_allclose(quick, expected, atol=1e-4)


@pytest.mark.parametrize("faster", [True, False])
def test_a_training_has_those_gradients_where_they_are_faster(monkeypatch, faster):
    monkeypatch.setattr(convolution_gradients, "FLIPPED_KERNELS_SPEED_UP_TRAINING", faster)
    start_session(0, inference=False)
    image, kernel = K.variable(np.ones((1, 5, 5, 4))), K.variable(np.ones((3, 3, 4, 2)))
    with gradients_for_training():
        y = tf.nn.conv2d(image, kernel, (1, 1, 1, 1), "VALID")
    gradient, = tf.gradients(y, image)
    assert (gradient.op.type == "Conv2DBackpropInput") != faster
