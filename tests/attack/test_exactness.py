"""The fast path is the plain one, up to float32 rounding.

Fast: what make_uap.py runs (batches ahead, gradients only where needed, a backward pass of our
own). Plain: Algorithm 1 written again in test_uap.py, on the unmodified Keras model, with one
tf.gradients for each class. How they are compared: in_step.py.

Another processor's rounding is imitated by noise. `pytest tests/attack/test_exactness.py -rP
--noise-seeds 50` does so with 50 seeds and prints what was compared.
"""

import functools
import os

import numpy as np
import pytest
from in_step import FastPath, Led, PlainClassifier, PlainRun, alike_until

from data.generate import generate
from utils.attack.deepfool import deepfool
from utils.attack.gradients.graph import AttackGraph
from utils.classifier.frameworks import keras, layers
from utils.classifier.session import start_session
from utils.images.folders import list_images
from utils.images.pixels import to_model_input
from utils.images.reading import read_ahead

N = 60        # images
SIZE = 24     # height and width
NOISE = 1e-6  # relative
SEED = 0      # of the network's weights
CASES = [(2, 2.0, 10), (np.inf, 0.15, 10), (np.inf, 0.15, 3)]  # p, xi, iterations at the most


def small_network():
    """A classifier of 7 classes with every kind of layer that the study's architectures have."""
    def convolution(x, filters, kernel, **options):
        x = layers.Conv2D(filters, kernel, padding="same", **options)(x)
        return layers.BatchNormalization()(x)

    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Activation("relu")(convolution(image, 8, 3, strides=2))
    x = layers.Activation("relu")(layers.add([x, convolution(x, 8, 3)]))
    x = layers.concatenate([layers.Activation("relu")(convolution(x, 6, 1)),
                            layers.AveragePooling2D(3, strides=1, padding="same")(x)])
    x = layers.MaxPooling2D(2)(x)
    x = layers.Activation("relu")(convolution(x, 16, 3))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(7, name="logits")(x)
    return keras.Model(image, layers.Activation("softmax")(x))


def draw_weights(model):
    """The same in every version of Keras: those of He et al. 2015, drawn by NumPy."""
    random = np.random.RandomState(SEED)
    model.set_weights([
        weight if weight.ndim == 1 else
        random.normal(size=weight.shape, scale=(2 / np.prod(weight.shape[:-1])) ** 0.5)
        for weight in model.get_weights()])


def spread_over_classes(model, images):
    """Standardise the logits over the images, so that each class has its share of them."""
    layer = model.get_layer("logits")
    logits = keras.Model(model.input, layer.output).predict(images)
    kernel, bias = layer.get_weights()
    mean, deviation = logits.mean(axis=0), logits.std(axis=0)
    layer.set_weights([kernel / deviation, (bias - mean) / deviation])


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The FastPath, and a function (p, xi, max_iter) -> PlainRun."""
    folder = str(tmp_path_factory.mktemp("data"))
    generate(folder, 7, N, size=48)
    natural = os.path.join(folder, "ilsvrc2012")
    images = to_model_input(np.stack(list(read_ahead(
        [os.path.join(natural, file) for file in list_images(natural)], SIZE))))
    start_session(0, inference=True)
    model = small_network()
    draw_weights(model)
    spread_over_classes(model, images)
    graph, plain = AttackGraph(model), PlainClassifier(model)
    return (FastPath(graph.logits, graph.boundary_gradients_to_leave, deepfool),
            functools.lru_cache()(lambda *case: PlainRun(plain, images, *case)))


def noisy(fast, size, seed):
    """Its logits and gradients as another processor could round them: times 1 + size u."""
    random = np.random.RandomState(seed)

    def noise(array):
        return array * (1 + size * random.uniform(-1, 1, array.shape)).astype(np.float32)

    def differences(x, label):
        f, w = fast.differences(x, label)
        f, top = noise(f), int(f.argmax())
        if f.argmax() != label:
            return f, None
        if w is None:  # here the noise decides
            w = fast.differences(x, top)[1]
            w = w - w[label]
        return f, noise(w)

    return fast._replace(logits=lambda batch: noise(fast.logits(batch)), differences=differences)


@pytest.mark.parametrize("case", CASES)
def test_the_fast_path_decides_as_the_plain_version_whatever_the_last_digits_are(
        both, case, pytestconfig):
    fast, run = both[0], both[1](*case)
    print(f"\nnoise  decisions  excused  visits alike of {N}")
    for seed in range(pytestconfig.getoption("--noise-seeds") + 1):
        rounded = noisy(fast, NOISE, seed) if seed else fast
        led = Led(rounded, run).compare()
        print(f"{seed or 'none':>5}  {led.decisions:9}  {led.excused:7}  "
              f"{alike_until(rounded, run):12}")


def test_every_kind_of_image_is_met(both):
    for case in CASES:
        visits = both[1](*case).visits
        stepped = [visit for visit in visits if visit.path]
        assert 3 <= len(stepped) <= N - 3
        assert len({label for visit in stepped for label in visit.path}) > 3
        assert len({len(visit.path) for visit in stepped}) >= 3
    kept = [visit.kept for visit in stepped]  # three iterations are too few for some
    assert 3 <= sum(kept) <= len(kept) - 3


def without_one_gradient(fast):
    def differences(x, label):
        f, w = fast.differences(x, label)
        if w is not None:
            w[(label + 1) % len(w)] = 0
        return f, w

    return fast._replace(differences=differences)


def with_the_class_reached(of):
    """of: function (label) -> the class for which the loop keeps the step or not."""
    def mutant(x, differences, label, **options):
        return deepfool(x, differences, label, **options)._replace(class_after=of(label))

    return lambda fast: fast._replace(deepfool=mutant)


def with_iterations(more):
    def changed(fast):
        return fast._replace(deepfool=lambda *arguments, max_iter: deepfool(
            *arguments, max_iter=max_iter + more))

    return changed


def with_label_checks(late):
    """It goes on once after the label changed, or stops once before."""
    def mutant(x, differences, label, max_iter):
        w_before = []

        def told(point, label):
            f, w = differences(point, label)
            if w is None and late and w_before:
                return f, w_before.pop()
            if not late and w_before:
                return f, None
            w_before.append(w)
            return f, w

        return deepfool(x, told, label, max_iter=max_iter)

    return lambda fast: fast._replace(deepfool=mutant)


@pytest.mark.parametrize("mutate, complaint", [
    (lambda fast: noisy(fast, 1e-3, 0), "logits"),
    (without_one_gradient, "gradients"),
    (with_the_class_reached(lambda label: -1), "kept: True, not False"),
    (with_the_class_reached(lambda label: label), "kept"),
    (with_iterations(-1), "stops where the plain version goes on"),
    (with_iterations(1), "goes on where the plain version has stopped"),
    (with_label_checks(late=False), "stops where the plain version goes on"),
    (with_label_checks(late=True), "goes on where the plain version has stopped|path"),
], ids=["noise of 1e-3", "a gradient left out", "every step kept",
        "kept by the label check before", "an iteration too few", "an iteration too many",
        "stopped a label check early", "stopped a label check late"])
def test_a_mutant_is_found(both, mutate, complaint):
    fast, plain_run = both
    with pytest.raises(AssertionError, match=complaint):
        Led(mutate(fast), plain_run(*CASES[2])).compare()
