"""The fast path decides as the plain one does, image by image, and ends with the same v.

Fast: what make_uap.py runs (batches ahead, gradients only where needed, a backward pass of our
own). Plain: Algorithm 1 written again in test_uap.py, on the unmodified Keras model, with one
tf.gradients for each class.
"""

import os

import keras
import keras.backend as K
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from data.generate import generate
from test_uap import plain_algorithm
from utils import classifier
from utils.attack.graph import AttackGraph
from utils.attack.deepfool import deepfool
from utils.images import list_images, read_ahead, to_model_input
from utils.attack.uap import State, universal_perturbation

N = 60     # images
SIZE = 24  # height and width
XI = {2: 5.0, np.inf: 0.4}


class PlainClassifier:
    """The Keras model as plain_algorithm() asks for it; x is rounded to float32, as everywhere."""

    def __init__(self, model):
        self._input, self._f = model.input, model.get_layer("logits").output
        self._gradients = [tf.gradients(self._f[0, k], self._input)[0][0]
                           for k in range(int(self._f.shape[1]))]
        self.shape = tuple(self._input.shape.as_list()[1:])

    def f(self, x):
        return K.get_session().run(self._f, {self._input: x[np.newaxis]})[0].astype(np.float64)

    def gradients(self, x):
        return np.array(K.get_session().run(self._gradients, {self._input: x[np.newaxis]}),
                        np.float64)

    def top(self, x):
        return int(self.f(x).argmax())


def small_network():
    """A classifier of 7 classes with every kind of layer that the study's architectures have."""
    def convolution(x, filters, kernel, **options):
        x = layers.Conv2D(filters, kernel, padding="same", kernel_initializer="he_normal",
                          **options)(x)
        return layers.BatchNormalization()(x)

    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Activation("relu")(convolution(image, 8, 3, strides=2))
    x = layers.Activation("relu")(layers.add([x, convolution(x, 8, 3)]))
    x = layers.concatenate([layers.Activation("relu")(convolution(x, 6, 1)),
                            layers.AveragePooling2D(3, strides=1, padding="same")(x)])
    x = layers.MaxPooling2D(2)(x)
    x = layers.Activation("relu")(convolution(x, 16, 3))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(7, name="logits", kernel_initializer="he_normal")(x)
    return keras.Model(image, layers.Activation("softmax")(x))


def spread_over_classes(model, images):
    """Standardise the logits over the images, so that each class has its share of them."""
    layer = model.get_layer("logits")
    logits = keras.Model(model.input, layer.output).predict(images)
    kernel, bias = layer.get_weights()
    mean, deviation = logits.mean(axis=0), logits.std(axis=0)
    layer.set_weights([kernel / deviation, (bias - mean) / deviation])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    generate(folder, 7, N, size=48)
    natural = os.path.join(folder, "ilsvrc2012")
    return to_model_input(np.stack(list(read_ahead(
        [os.path.join(natural, file) for file in list_images(natural)], SIZE))))


@pytest.mark.parametrize("p", [2, np.inf])
def test_the_same_decisions_and_the_same_v_as_the_plain_version(images, p):
    classifier.start_session(0, inference=True)
    model = small_network()
    spread_over_classes(model, images)
    graph = AttackGraph(model)
    state, visits = State(images.shape[1:], N), []
    for found in universal_perturbation(
            state, lambda indices: iter(images[indices]), graph.logits,
            lambda x, label: deepfool(x, graph.boundary_gradients_to_leave, label, max_iter=10),
            p, XI[p], passes=1, goal=1.0, seed=0):
        visits += found

    v, plain_visits, rates = plain_algorithm(PlainClassifier(model), images, p=p, passes=1,
                                             xi=XI[p])
    assert [tuple(visit) for visit in visits] == plain_visits
    assert state.rates == rates
    assert np.linalg.norm(state.v - v) <= 1e-4 * np.linalg.norm(v)
    stepped = sum(bool(visit.path) for visit in visits)
    assert N / 6 < stepped < len(visits) - N / 6           # both kinds of images were met
    assert len({label for visit in visits for label in visit.path}) > 3
