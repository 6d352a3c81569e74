"""The logits and gradients of a Keras classifier against finite differences and tf.gradients."""

import numpy as np
import pytest

from utils.attack.deepfool import OVERSHOOT, deepfool
from utils.attack.gradients.graph import AttackGraph, activation_energy
from utils.classifier.frameworks import K, keras, layers, tf
from utils.classifier.session import start_session

CLASSES = 4
SIZE = 8


def images(n, size=SIZE, seed=1):
    return np.random.RandomState(seed).uniform(-1, 1, (n, size, size, 3)).astype(np.float32)


def logit_gradients(model, x):
    """The gradient of every logit, (K, h, w, 3), by plain tf.gradients."""
    f = model.get_layer("logits").output
    which = tf.placeholder(tf.float32, f.shape)
    gradient = tf.gradients(f, model.input, grad_ys=which)[0]
    return np.concatenate([K.get_session().run(gradient, {model.input: x[np.newaxis], which: [row]})
                           for row in np.eye(int(f.shape[1]))])


def cross_entropy_gradient(model, x, label):
    loss = tf.nn.softmax_cross_entropy_with_logits_v2(
        labels=tf.one_hot([label], CLASSES), logits=model.get_layer("logits").output)
    return K.get_session().run(tf.gradients(loss, model.input)[0], {model.input: x[np.newaxis]})[0]


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


def test_boundary_gradients_are_differences_of_the_logits_gradients_for_every_class(model):
    graph, seen = AttackGraph(model), set()
    for x in images(200):
        expected_f = graph.logits(x[np.newaxis])[0]
        top = int(expected_f.argmax())
        if top in seen:
            continue
        seen.add(top)
        gradients = logit_gradients(model, x)
        for label in range(CLASSES):
            f, leave = graph.boundary_gradients_to_leave(x, label)
            np.testing.assert_allclose(f, expected_f, rtol=1e-5)
            f, reach = graph.boundary_gradient_to_reach(x, label)
            np.testing.assert_allclose(f, expected_f, rtol=1e-5)
            assert (leave is None) == (label != top) and (reach is None) == (label == top)
            if label == top:
                assert_close(leave, gradients - gradients[label])
                assert leave[label].shape == x.shape and not leave[label].any()
            else:
                assert_close(reach, gradients[label] - gradients[top])
    assert seen == set(range(CLASSES))


def test_the_loss_gradient_points_where_the_cross_entropy_does(model):
    graph, x = AttackGraph(model), images(1)[0]
    probabilities = model.predict(x[np.newaxis])[0]
    assert probabilities.max() < 0.999
    for label, p in enumerate(probabilities):
        top_leave, leave = graph.loss_gradient_to_leave(x, label)
        top_reach, reach = graph.loss_gradient_to_reach(x, label)
        assert top_leave.argmax() == top_reach.argmax() == probabilities.argmax()
        is_top = label == probabilities.argmax()
        assert (leave is None) != is_top and (reach is None) == is_top
        assert_close((1 - p) * (leave if is_top else -reach),
                     cross_entropy_gradient(model, x, label))


def test_the_loss_gradient_survives_a_classifier_so_sure_that_the_cross_entropy_is_flat(model):
    logits = model.get_layer("logits")
    logits.set_weights([1e4 * w for w in logits.get_weights()])
    graph, x = AttackGraph(model), images(1)[0]
    runner_up, top = graph.logits(x[np.newaxis])[0].argsort()[-2:]
    assert not cross_entropy_gradient(model, x, top).any()
    _, g = graph.loss_gradient_to_leave(x, top)
    assert np.isfinite(g).all() and np.abs(g).max() > 1
    gradients = logit_gradients(model, x)
    assert_close(g, gradients[runner_up] - gradients[top])


@pytest.mark.parametrize("name", [
    "boundary_gradients_to_leave", "boundary_gradient_to_reach", "loss_gradient_to_leave",
    "loss_gradient_to_reach", "minibatch_gradient_to_leave", "minibatch_gradient_to_reach",
    "activation_energy"])
def test_every_gradient_is_grey_for_a_model_of_grey_images(model, name):
    x = images(3)
    top = AttackGraph(model).logits(x).argmax(axis=1)
    label = top if name.endswith("leave") else (top + 1) % CLASSES
    of_colours, grey = (
        activation_energy(model, grey)(x[0])[1] if name == "activation_energy" else
        getattr(AttackGraph(model, grey), name)(*((x, label) if "minibatch" in name else
                                                  (x[0], label[0])))[1]
        for grey in (False, True))
    assert np.abs(of_colours - grey).max() > 0.01 * np.abs(grey).max()
    assert_close(grey, np.repeat(of_colours.mean(axis=-1, keepdims=True), 3, -1))


def test_grey_deepfool_takes_the_shortest_grey_step_across_a_boundary():
    """Of a linear classifier, whose gradients in the grey subspace are means over the channels."""
    start_session(0, inference=True)
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
        assert step.path == [nearest_grey[-1]] and step.class_after == nearest_grey[-1]
        np.testing.assert_array_equal(step.dv, step.dv[..., :1].repeat(3, axis=-1))
        assert_close(step.dv, (1 + OVERSHOOT) * steps[nearest_grey[-1]])
    assert nearest_grey != nearest
