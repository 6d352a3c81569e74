"""DeepFool and the fast gradient sign step, on classifiers whose answer is known."""

import numpy as np
import pytest

from utils.attack.deepfool import OVERSHOOT, deepfool
from utils.attack.fgsm import fgsm

CLASSES = 4


def steps_to_boundaries(classifier, x, label):
    """For a linear classifier, the shortest step from x to each boundary of `label`; None there."""
    f, steps = classifier.f(x), []
    for k in range(len(f)):
        w = (classifier.A[k] - classifier.A[label]).reshape(x.shape)
        steps.append(None if k == label else (f[label] - f[k]) / (w ** 2).sum() * w)
    return steps


def nearest(steps):
    return min((np.linalg.norm(step), k) for k, step in enumerate(steps) if step is not None)[1]


@pytest.mark.parametrize("classes, label", [(n, k) for n in (2, CLASSES) for k in range(n)])
def test_linear_classes_need_one_step_to_the_nearest_boundary(toy, classes, label):
    for seed in range(5):
        classifier = toy(seed, classes)
        x = classifier.image_of(label)
        steps = steps_to_boundaries(classifier, x, label)
        step = deepfool(x, classifier.boundary_gradients_to_leave, label)
        assert step.path == [nearest(steps)] == [step.class_after]
        assert step.dv.dtype == np.float32
        np.testing.assert_allclose(step.dv, (1 + OVERSHOOT) * steps[nearest(steps)],
                                   rtol=1e-5, atol=1e-7)
        assert classifier.top(x + step.dv) == step.class_after


@pytest.mark.parametrize("max_iter", [1, 3])
def test_deepfool_gives_up_after_max_iter_steps_and_returns_their_sum(toy, max_iter):
    x = np.zeros(toy.shape, np.float32)
    w = np.stack([0 * x, x + 2])  # a boundary that retreats: the gap is 1 wherever one looks
    leave = deepfool(x, lambda point, label: (np.array([1.0, 0.0]), w), 0, max_iter=max_iter)
    reach = deepfool(x, lambda point, target: (np.array([0.0, 1.0]), w[1]), 0, [0], max_iter)
    for step, l in ((leave, 1), (reach, 0)):
        assert step.path == [l] * max_iter and step.class_after is None
        np.testing.assert_allclose(step.dv, (1 + OVERSHOOT) * max_iter * w[1] / (w[1] ** 2).sum(),
                                   rtol=1e-5)


def test_zero_gradients_give_no_step_and_no_division_by_zero(toy):
    x = np.zeros(toy.shape, np.float32)
    f = np.array([1.0, 0.0, 0.0])
    with np.errstate(all="raise"):
        flat = deepfool(x, lambda point, label: (f, np.zeros((3,) + x.shape)), 0)
        flat_target = deepfool(x, lambda point, target: (f, np.zeros(x.shape)), 2, [2])
    for step in (flat, flat_target):
        assert step.path == [] and step.class_after == 0 and not step.dv.any()


def test_a_class_with_a_zero_gradient_is_passed_over(toy):
    x = np.zeros(toy.shape, np.float32)
    w = np.stack([0 * x, 0 * x, x + 1])
    with np.errstate(all="raise"):
        step = deepfool(x, lambda point, label: (np.array([1.0, 0.9, 0.0]), w), 0, max_iter=1)
    assert step.path == [2]
    np.testing.assert_allclose(step.dv, (1 + OVERSHOOT) * w[2] / w[2].size, rtol=1e-6)


def test_an_image_with_nothing_to_do_gets_no_step(toy):
    classifier = toy(7, CLASSES)
    x = classifier.image_of(1)
    for step in (deepfool(x, classifier.boundary_gradients_to_leave, 0),
                 deepfool(x, classifier.boundary_gradient_to_reach, 1, [1]),
                 fgsm(x, classifier.loss_gradient_to_leave, 0, 0.01),
                 fgsm(x, classifier.loss_gradient_to_reach, 1, 0.01)):
        assert step.path == [] and step.class_after == 1
        np.testing.assert_array_equal(step.dv, np.zeros(x.shape, np.float32))
