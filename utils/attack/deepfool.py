"""DeepFool: the smallest step, to first order, that takes one image across a decision boundary.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, CVPR 2016, Algorithm 2 (multiclass, L2). Like its
authors' published code, the label is checked at the overshot point x + (1 + overshoot) r.
"""

import collections

import numpy as np

OVERSHOOT = 0.02     # eta in the paper
MAX_ITERATIONS = 10  # inside the UAP loop, as in its authors' code

# dv: float32, the step from x (zeros when x needs none). predicted: class of x, before the step.
# path: the class l towards which each iteration went, so len(path) is the number of iterations; of
# attacks with one step, FGSM and SGD, the label that their loss is of.
# reached: class of x + dv, or None where the attack did not look.
Step = collections.namedtuple("Step", "dv predicted path reached")


def deepfool(x, boundary_gradients, label, max_iter=MAX_ITERATIONS):
    """Leave the class `label`.

    x: float32, (h, w, c), model-input units.
    boundary_gradients: function (x, label) -> (f, w): logits f, float (K,), and, when argmax f is
        `label`, the gradients w of f_k - f_label for every class k, (K, h, w, c); else None.
        One call an iteration is all that is asked of the classifier.
    label: int, k0 in the paper. max_iter: iterations at the most.
    Returns a Step; dv contains the overshoot.
    """
    def towards_boundary(f, w):
        gaps = np.abs(f - f[label])                                # |f'_k|
        lengths = np.sqrt(np.einsum("ki,ki->k", w.reshape(len(w), -1), w.reshape(len(w), -1)))
        distances = np.full(len(f), np.inf)
        np.divide(gaps, lengths, out=distances, where=lengths > 0)  # never true for k0 itself
        l = int(distances.argmin())                                # Algorithm 2, line 8
        if lengths[l] > 0:
            return l, gaps[l] / lengths[l] ** 2 * w[l]             # Algorithm 2, line 9

    return _iterate(x, boundary_gradients, label, towards_boundary, max_iter)


def targeted_deepfool(x, boundary_gradient, target, max_iter=MAX_ITERATIONS):
    """Reach the class `target`: the same step, always towards the boundary with that class.

    boundary_gradient: function (x, target) -> (f, w): logits, and, when argmax f is not `target`,
        the gradient w of f_target - f_top, (h, w, c), where top is argmax f; else None.
    Everything else as in deepfool.
    """
    def towards_target(f, w):
        squared = float(np.einsum("hwc,hwc->", w, w))
        if squared > 0:
            return target, (f.max() - f[target]) / squared * w

    return _iterate(x, boundary_gradient, target, towards_target, max_iter)


def _iterate(x, gradients, label, towards, max_iter):
    """Sum the steps r_i until there are no gradients, or all are 0: Algorithm 2, lines 3 to 13.

    towards: function (f, w) -> (l, r_i), or None.
    """
    r = np.zeros_like(x)
    path = []
    predicted = reached = None
    while len(path) < max_iter:
        f, w = gradients(x + np.float32(1 + OVERSHOOT) * r, label)
        if predicted is None:
            predicted = int(f.argmax())
        step = None if w is None else towards(f, w)
        if step is None:
            reached = int(f.argmax())
            break
        l, r_i = step
        r += r_i.astype(np.float32)
        path.append(l)
    return Step(np.float32(1 + OVERSHOOT) * r, predicted, path, reached)
