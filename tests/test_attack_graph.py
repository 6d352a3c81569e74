"""The logits and gradients of a Keras classifier against finite differences and tf.gradients."""

import keras
import keras.backend as K
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from utils import classifier
from utils.attack.deepfool import OVERSHOOT, deepfool
from utils.attack.graph import AttackGraph

CLASSES = 4
SIZE = 8


@pytest.fixture
def model():
    """A small classifier whose batch normalisation matters, in a session for inference."""
    classifier.start_session(0, inference=True)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(10, 3)(image)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dense(CLASSES, name="logits")(x)
    model = keras.Model(image, layers.Activation("softmax")(x))
    random = np.random.RandomState(0)
    model.set_weights([w + random.uniform(0.2, 1, w.shape) if w.ndim == 1 else w
                       for w in model.get_weights()])
    scale_logits(model, 20)
    kernel, bias = model.get_layer("logits").get_weights()
    bias -= AttackGraph(model).logits(images(100, seed=2)).mean(axis=0)  # so that each class occurs
    model.get_layer("logits").set_weights([kernel, bias])
    return model


def scale_logits(model, factor):
    layer = model.get_layer("logits")
    layer.set_weights([factor * w for w in layer.get_weights()])


def images(n, size=SIZE, seed=1):
    return np.random.RandomState(seed).uniform(-1, 1, (n, size, size, 3)).astype(np.float32)


def logit_gradients(model, x):
    """The gradient of every logit, (K, h, w, 3), by plain tf.gradients."""
    f = model.get_layer("logits").output
    which = tf.placeholder(tf.float32, f.shape)
    gradient = tf.gradients(f, model.input, grad_ys=which)[0]
    return np.stack([K.get_session().run(gradient, {model.input: x[np.newaxis], which: [row]})[0]
                     for row in np.eye(int(f.shape[1]))])


def cross_entropy_gradient(model, x, label):
    loss = tf.nn.softmax_cross_entropy_with_logits_v2(
        labels=tf.one_hot([label], CLASSES), logits=model.get_layer("logits").output)
    return K.get_session().run(tf.gradients(loss, model.input)[0], {model.input: x[np.newaxis]})[0]


def cosine(a, b):
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return a.dot(b) / np.linalg.norm(a) / np.linalg.norm(b)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_logits_are_what_the_softmax_is_computed_from(model):
    x = images(5)
    f = AttackGraph(model).logits(x)
    kernel, bias = model.get_layer("logits").get_weights()
    features = keras.Model(model.input, model.get_layer("features").output).predict(x)
    np.testing.assert_allclose(f, features.dot(kernel) + bias, rtol=1e-5, atol=1e-5)
    exponentials = np.exp(f.astype(np.float64))
    np.testing.assert_allclose(exponentials / exponentials.sum(axis=1, keepdims=True),
                               model.predict(x), rtol=1e-4, atol=1e-7)


def test_boundary_gradients_are_finite_differences_of_the_logits(model):
    graph, x, h = AttackGraph(model), images(1)[0], 1e-3
    f, w = graph.boundary_gradients_to_leave(x, int(graph.logits(x[np.newaxis])[0].argmax()))
    steps = h * np.eye(x.size, dtype=np.float32).reshape((-1,) + x.shape)
    slopes = (graph.logits(x + steps) - graph.logits(x - steps)) / (2 * h)    # (pixels, K)
    expected = (slopes - slopes[:, [f.argmax()]]).T.reshape(w.shape)
    # float32 leaves about four digits; a kink of the rectifier within h spoils a few pixels
    close = np.abs(w - expected) < 0.01 * np.abs(expected).max()
    assert close.mean() > 0.98


def test_boundary_gradients_are_differences_of_the_logits_gradients_for_every_label(model):
    graph, seen = AttackGraph(model), set()
    for x in images(200):
        label = int(graph.logits(x[np.newaxis])[0].argmax())
        if label not in seen:
            seen.add(label)
            f, w = graph.boundary_gradients_to_leave(x, label)
            np.testing.assert_allclose(f, graph.logits(x[np.newaxis])[0], rtol=1e-5)
            gradients = logit_gradients(model, x)
            assert_close(w, gradients - gradients[label])
            assert w[label].shape == x.shape and not w[label].any()
    assert seen == set(range(CLASSES))


def test_there_are_no_boundary_gradients_to_leave_a_class_left_already(model):
    graph, x = AttackGraph(model), images(1)[0]
    expected = graph.logits(x[np.newaxis])[0]
    for label in set(range(CLASSES)) - {expected.argmax()}:
        f, w = graph.boundary_gradients_to_leave(x, label)
        assert w is None
        np.testing.assert_allclose(f, expected, rtol=1e-5)


def test_the_boundary_gradient_leads_from_the_predicted_class_to_the_target(model):
    graph, x = AttackGraph(model), images(1)[0]
    gradients = logit_gradients(model, x)
    top = int(graph.logits(x[np.newaxis])[0].argmax())
    for target in range(CLASSES):
        f, w = graph.boundary_gradient_to_reach(x, target)
        assert f.argmax() == top
        if target == top:
            assert w is None
        else:
            assert_close(w, gradients[target] - gradients[top])


def test_the_loss_gradient_points_where_the_cross_entropy_does(model):
    graph, x = AttackGraph(model), images(1)[0]
    top = int(model.predict(x[np.newaxis]).argmax())
    assert model.predict(x[np.newaxis]).max() < 0.999
    for label in range(CLASSES):
        if label == top:
            _, g = graph.loss_gradient_to_leave(x, label)
        else:
            g = -graph.loss_gradient_to_reach(x, label)[1]
        assert cosine(g, cross_entropy_gradient(model, x, label)) > 0.9999
        p = model.predict(x[np.newaxis])[0, label]
        assert_close((1 - p) * g, cross_entropy_gradient(model, x, label))


def test_there_is_no_loss_gradient_when_there_is_nothing_to_do(model):
    graph, x = AttackGraph(model), images(1)[0]
    top = int(model.predict(x[np.newaxis]).argmax())
    for label in range(CLASSES):
        f, g = (graph.loss_gradient_to_reach if label == top else
                graph.loss_gradient_to_leave)(x, label)
        assert g is None and f.argmax() == top


def test_the_loss_gradient_survives_a_classifier_so_sure_that_the_cross_entropy_is_flat(model):
    scale_logits(model, 1e4)
    graph, x = AttackGraph(model), images(1)[0]
    top = int(model.predict(x[np.newaxis]).argmax())
    assert not cross_entropy_gradient(model, x, top).any()
    _, g = graph.loss_gradient_to_leave(x, top)
    assert np.isfinite(g).all() and np.abs(g).max() > 1
    f = graph.logits(x[np.newaxis])[0]
    runner_up = int(np.argsort(f)[-2])
    gradients = logit_gradients(model, x)
    assert_close(g, gradients[runner_up] - gradients[top])


def test_grey_deepfool_takes_the_shortest_grey_step_across_a_boundary():
    """Of a linear classifier, whose gradients in the grey subspace are means over the channels."""
    classifier.start_session(0, inference=True)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(CLASSES, SIZE, use_bias=False)(image))
    model = keras.Model(image, layers.Dense(CLASSES, name="logits")(x))
    A = np.random.RandomState(0).normal(size=(SIZE, SIZE, 3, CLASSES))
    A[..., 2:] -= 0.9 * A[..., 2:].mean(axis=2, keepdims=True)  # two classes told by colour
    model.set_weights([A, np.eye(CLASSES), np.zeros(CLASSES)])
    graph, nearest_grey, nearest = AttackGraph(model, grey=True), [], []
    for x in images(20):
        f = graph.logits(x[np.newaxis])[0].astype(np.float64)
        label = int(f.argmax())
        w = np.moveaxis(A - A[..., [label]], -1, 0)
        grey = np.repeat(w.mean(axis=-1, keepdims=True), 3, axis=-1)
        steps = {k: (f[label] - f[k]) / (grey[k] ** 2).sum() * grey[k]
                 for k in range(CLASSES) if k != label}
        nearest_grey.append(min(steps, key=lambda k: np.linalg.norm(steps[k])))
        nearest.append(min(steps, key=lambda k: (f[label] - f[k]) / np.linalg.norm(w[k])))
        step = deepfool(x, graph.boundary_gradients_to_leave, label)
        assert step.path == [nearest_grey[-1]] and step.reached == nearest_grey[-1]
        np.testing.assert_array_equal(step.dv, step.dv[..., :1].repeat(3, axis=-1))
        assert_close(step.dv, (1 + OVERSHOOT) * steps[nearest_grey[-1]])
    assert nearest_grey != nearest


@pytest.mark.parametrize("architecture", classifier.ARCHITECTURES)
def test_boundary_gradients_of_the_studys_architectures_are_those_of_tf_gradients(architecture):
    classifier.start_session(0, inference=True)
    size = classifier.MIN_IMAGE_SIZE[architecture]
    model = classifier.build_classifier(architecture, size, num_classes=3)
    graph, x = AttackGraph(model), images(1, size)[0]
    label = int(graph.logits(x[np.newaxis])[0].argmax())
    f, w = graph.boundary_gradients_to_leave(x, label)
    gradients = logit_gradients(model, x)
    assert w.shape == (3, size, size, 3) and np.abs(w).max() > 0
    np.testing.assert_allclose(w, gradients - gradients[label], rtol=1e-3,
                               atol=1e-4 * np.abs(gradients).max())
    assert not w[label].any()
