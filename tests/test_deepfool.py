"""DeepFool and the fast gradient sign step, on classifiers whose answer is known."""

import numpy as np
import pytest

from utils.attack.deepfool import OVERSHOOT, deepfool, targeted_deepfool
from utils.attack.fgsm import fgsm

CLASSES = 4


def finite_differences(function, x, h=1e-5):
    """Central differences of a scalar function, float64."""
    x = np.asarray(x, np.float64)
    gradient = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[place] = h
        gradient[place] = (function(x + e) - function(x - e)) / (2 * h)
    return gradient


def steps_to_boundaries(classifier, x, label):
    """For a linear classifier, the shortest step from x to each boundary of `label`; None there."""
    f, steps = classifier.f(x), []
    for k in range(len(f)):
        w = (classifier.A[k] - classifier.A[label]).reshape(x.shape)
        steps.append(None if k == label else (f[label] - f[k]) / (w ** 2).sum() * w)
    return steps


def nearest(steps):
    return min((np.linalg.norm(step), k) for k, step in enumerate(steps) if step is not None)[1]


@pytest.mark.parametrize("label", [0, 1])
def test_two_linear_classes_need_one_step_of_the_closed_form(toy, label):
    classifier = toy(0, classes=2)
    x = classifier.image_of(label)
    step = deepfool(x, classifier.boundary_gradients_to_leave, label)
    expected = (1 + OVERSHOOT) * steps_to_boundaries(classifier, x, label)[1 - label]
    assert step.path == [1 - label] and step.predicted == label
    assert step.dv.dtype == np.float32
    np.testing.assert_allclose(step.dv, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("label", range(CLASSES))
@pytest.mark.parametrize("overshoot", [0.02, 0.5])
def test_linear_classes_need_one_step_to_the_nearest_boundary(toy, label, overshoot):
    for seed in range(5):
        classifier = toy(seed, CLASSES)
        x = classifier.image_of(label)
        steps = steps_to_boundaries(classifier, x, label)
        step = deepfool(x, classifier.boundary_gradients_to_leave, label, overshoot)
        assert step.path == [nearest(steps)]
        np.testing.assert_allclose(step.dv, (1 + overshoot) * steps[nearest(steps)],
                                   rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("label", range(CLASSES))
def test_the_linear_step_crosses_the_boundary_and_no_shorter_step_does(toy, label):
    classifier = toy(1, CLASSES)
    x = classifier.image_of(label)
    step = deepfool(x, classifier.boundary_gradients_to_leave, label)
    assert classifier.top(x + step.dv) == step.path[0]

    boundary = step.dv / (1 + OVERSHOOT)
    assert classifier.top(x + 0.999 * boundary) == label
    assert classifier.top(x + 1.001 * boundary) != label
    others = classifier.random.normal(size=(1000,) + x.shape)
    lengths = np.sqrt((others ** 2).sum(axis=(1, 2, 3), keepdims=True))
    shorter = x + 0.999 * np.linalg.norm(boundary) * others / lengths
    assert (classifier.logits(shorter).argmax(axis=1) == label).all()


@pytest.mark.parametrize("label", range(CLASSES))
def test_a_nonlinear_classifier_is_left_along_its_true_gradients(toy, label):
    classifier = toy(2, CLASSES, hidden=8)
    x = classifier.image_of(label)

    def numerical(point, k0):
        f = classifier.f(point)
        return f, (np.stack([finite_differences(
            lambda q, k=k: classifier.f(q)[k] - classifier.f(q)[k0], point)
            for k in range(CLASSES)]) if f.argmax() == k0 else None)

    step = deepfool(x, classifier.boundary_gradients_to_leave, label)
    by_numbers = deepfool(x, numerical, label)
    assert step.path == by_numbers.path
    np.testing.assert_allclose(step.dv, by_numbers.dv, atol=1e-5)
    assert classifier.top(x + step.dv) != label

    f, w = numerical(x, label)
    distances = [np.inf if k == label else (f[label] - f[k]) / np.linalg.norm(w[k])
                 for k in range(CLASSES)]
    l = int(np.argmin(distances))
    first = deepfool(x, classifier.boundary_gradients_to_leave, label, max_iter=1)
    assert first.path == [l] == step.path[:1]
    np.testing.assert_allclose(
        first.dv, (1 + OVERSHOOT) * distances[l] * w[l] / np.linalg.norm(w[l]), atol=1e-6)


@pytest.mark.parametrize("max_iter", [1, 3])
def test_deepfool_gives_up_after_max_iter_steps_and_returns_their_sum(toy, max_iter):
    x = np.zeros(toy.shape, np.float32)
    w = np.stack([0 * x, x + 2])  # a boundary that retreats: the gap is 1 wherever one looks

    step = deepfool(x, lambda point, label: (np.array([1.0, 0.0]), w), 0, max_iter=max_iter)
    assert step.path == [1] * max_iter
    np.testing.assert_allclose(step.dv, (1 + OVERSHOOT) * max_iter * w[1] / (w[1] ** 2).sum(),
                               rtol=1e-5)

    step = targeted_deepfool(x, lambda point, target: (np.array([0.0, 1.0]), w[1]), 0,
                             max_iter=max_iter)
    assert step.path == [0] * max_iter
    np.testing.assert_allclose(step.dv, (1 + OVERSHOOT) * max_iter * w[1] / (w[1] ** 2).sum(),
                               rtol=1e-5)


def test_an_image_of_another_class_needs_no_step(toy):
    classifier = toy(3, CLASSES)
    x = classifier.image_of(2)
    step = deepfool(x, classifier.boundary_gradients_to_leave, 0)
    assert step.path == [] and step.predicted == 2 and not step.dv.any()


def test_zero_gradients_give_no_step_and_no_division_by_zero(toy):
    x = np.zeros(toy.shape, np.float32)
    f = np.array([1.0, 0.0, 0.0])
    with np.errstate(all="raise"):
        flat = deepfool(x, lambda point, label: (f, np.zeros((3,) + x.shape)), 0)
        flat_target = targeted_deepfool(x, lambda point, target: (f, np.zeros(x.shape)), 2)
    for step in (flat, flat_target):
        assert step.path == [] and step.predicted == 0 and not step.dv.any()


def test_a_class_with_a_zero_gradient_is_passed_over(toy):
    x = np.zeros(toy.shape, np.float32)
    w = np.stack([0 * x, 0 * x, x + 1])
    with np.errstate(all="raise"):
        step = deepfool(x, lambda point, label: (np.array([1.0, 0.9, 0.0]), w), 0, max_iter=1)
    assert step.path == [2]
    np.testing.assert_allclose(step.dv, (1 + OVERSHOOT) * w[2] / w[2].size, rtol=1e-6)


@pytest.mark.parametrize("target", range(CLASSES))
@pytest.mark.parametrize("hidden", [None, 8])
def test_targeted_deepfool_reaches_every_class(toy, target, hidden):
    for seed in range(5):
        classifier = toy(seed, CLASSES, hidden)
        label = (target + 1 + seed % (CLASSES - 1)) % CLASSES
        x = classifier.image_of(label)
        step = targeted_deepfool(x, classifier.boundary_gradient_to_reach, target)
        assert step.predicted == label and set(step.path) == {target}
        assert classifier.top(x + step.dv) == target


@pytest.mark.parametrize("target", range(CLASSES))
def test_the_first_targeted_step_is_the_shortest_to_the_boundary_with_the_target(toy, target):
    classifier = toy(4, CLASSES)
    label = (target + 1) % CLASSES
    x = classifier.image_of(label)
    step = targeted_deepfool(x, classifier.boundary_gradient_to_reach, target, max_iter=1)
    expected = (1 + OVERSHOOT) * steps_to_boundaries(classifier, x, label)[target]
    np.testing.assert_allclose(step.dv, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("target", [0, 2])
def test_an_image_of_the_target_class_needs_no_step(toy, target):
    classifier = toy(5, CLASSES)
    step = targeted_deepfool(classifier.image_of(target), classifier.boundary_gradient_to_reach,
                             target)
    assert step.path == [] and step.predicted == target and not step.dv.any()


@pytest.mark.parametrize("label", range(CLASSES))
@pytest.mark.parametrize("targeted", [False, True])
def test_the_sign_step_follows_the_sign_of_the_cross_entropy_gradient(toy, label, targeted):
    classifier = toy(6, CLASSES, hidden=8)
    x = classifier.image_of((label + 1) % CLASSES if targeted else label)

    def cross_entropy(point):
        f = classifier.f(point)
        return np.log(np.exp(f).sum()) - f[label]

    direction = np.sign(finite_differences(cross_entropy, x))
    if targeted:
        step = fgsm(x, classifier.loss_gradient_to_reach, label, 0.01)
        direction = -direction
    else:
        step = fgsm(x, classifier.loss_gradient_to_leave, label, 0.01)
    np.testing.assert_array_equal(step.dv, np.float32(0.01) * direction.astype(np.float32))
    assert step.dv.dtype == np.float32
    assert step.path == [label] and step.predicted == classifier.top(x)


def test_an_image_with_nothing_to_do_gets_no_sign_step(toy):
    classifier = toy(7, CLASSES)
    x = classifier.image_of(1)
    for step in (fgsm(x, classifier.loss_gradient_to_leave, 0),
                 fgsm(x, classifier.loss_gradient_to_reach, 1)):
        assert step.path == [] and step.predicted == 1
        np.testing.assert_array_equal(step.dv, np.zeros(x.shape, np.float32))
