"""DeepFool: the smallest step, to first order, that takes one image across a decision boundary.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, CVPR 2016, Algorithm 2 (multiclass, L2). Like its
authors' published code, the label is checked at the overshot point x + (1 + overshoot) r.
"""

import collections

import numpy as np

OVERSHOOT = 0.02  # eta in the paper

# dv: float32, the step from x (zeros when x needs none). predicted: class of x, before the step.
# path: the class l towards which each iteration went, so len(path) is the number of iterations; of
# attacks with one step, FGSM and SGD, the label that their loss is of.
# reached: class of x + dv, or None where the attack did not look.
Step = collections.namedtuple("Step", "dv predicted path reached")


def deepfool(x, boundary_gradients, label, overshoot=OVERSHOOT, max_iter=50):
    """Leave the class `label`.

    x: float32, (h, w, c), model-input units.
    boundary_gradients: function (x, label) -> (f, w): logits f, float (K,), and, when argmax f is
        `label`, the gradients w of f_k - f_label for every class k, (K, h, w, c); else None.
        One call an iteration is all that is asked of the classifier.
    label: int, k0 in the paper. max_iter: iterations at the most.
    Returns a Step; dv contains the overshoot.
    """
    def towards_boundary(point):
        f, w = boundary_gradients(point, label)
        if w is None:
            return f, None, None
        lengths = np.sqrt(np.einsum("ki,ki->k", w.reshape(len(w), -1), w.reshape(len(w), -1)))
        gaps = np.abs(f - f[label])                                # |f'_k|
        reachable = lengths > 0                                    # never true for k0 itself
        if not reachable.any():
            return f, None, None
        distances = np.full(len(f), np.inf)
        distances[reachable] = gaps[reachable] / lengths[reachable]
        l = int(distances.argmin())                                # Algorithm 2, line 8
        return f, l, gaps[l] / lengths[l] ** 2 * w[l]              # Algorithm 2, line 9

    return _iterate(x, towards_boundary, overshoot, max_iter)


def targeted_deepfool(x, boundary_gradient, target, overshoot=OVERSHOOT, max_iter=50):
    """Reach the class `target`: the same step, always towards the boundary with that class.

    boundary_gradient: function (x, target) -> (f, w): logits, and, when argmax f is not `target`,
        the gradient w of f_target - f_top, (h, w, c), where top is argmax f; else None.
    Everything else as in deepfool.
    """
    def towards_target(point):
        f, w = boundary_gradient(point, target)
        squared = 0.0 if w is None else float(np.einsum("hwc,hwc->", w, w))
        if squared == 0:
            return f, None, None
        return f, target, (f.max() - f[target]) / squared * w

    return _iterate(x, towards_target, overshoot, max_iter)


def _iterate(x, step_at, overshoot, max_iter):
    """Sum the steps r_i until `step_at` gives none: Algorithm 2, lines 3 to 13."""
    r = np.zeros_like(x)
    path = []
    predicted = reached = None
    while len(path) < max_iter:
        f, l, r_i = step_at(x + np.float32(1 + overshoot) * r)
        if predicted is None:
            predicted = int(np.argmax(f))
        if r_i is None:
            reached = int(np.argmax(f))
            break
        r += r_i.astype(np.float32)
        path.append(l)
    return Step(np.float32(1 + overshoot) * r, predicted, path, reached)
