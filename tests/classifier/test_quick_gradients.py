"""Gradients by forward convolutions are those that TensorFlow gives."""

import contextlib

import numpy as np
import pytest

from utils.classifier.convolution_gradients import quick_gradients
from utils.classifier.frameworks import K, tf
from utils.classifier.session import start_session

EXPLICIT = [[0, 0], [1, 0], [0, 1], [0, 0]]


@pytest.mark.parametrize("strides", ((1, 1), (2, 2), (2, 3)))
@pytest.mark.parametrize("size, padding", [
    (size, padding) for size in ((1, 1), (2, 2), (3, 3), (1, 7)) for padding in ("SAME", "VALID")
] + [((2, 2), EXPLICIT), ((5, 3), EXPLICIT)])
def test_the_quick_gradients_of_a_convolution_are_tensorflows(size, padding, strides):
    random, found = np.random.RandomState(0), []
    image, kernel = random.normal(size=(2, 9, 10, 4)), random.normal(size=size + (4, 5))
    for context in (contextlib.suppress, quick_gradients):
        start_session(0, inference=False)
        values = [K.variable(image), K.variable(kernel)]
        with context():
            y = tf.nn.conv2d(*values, (1,) + strides + (1,), padding)
        found.append(K.get_session().run(tf.gradients(y ** 2, values)))
        kinds = {op.type for op in tf.get_default_graph().get_operations()}
    for quick, expected in zip(found[1], found[0]):
        np.testing.assert_allclose(quick, expected, atol=1e-4)
    assert ("Conv2DBackpropInput" in kinds) == (strides != (1, 1) and size != (1, 1))
