"""DeepFool: the smallest step, to first order, that takes one image across a decision boundary.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, CVPR 2016, Algorithm 2 (multiclass, L2). Like its
authors' published code, the label is checked at the overshot point x + (1 + overshoot) r.
"""

from typing import List, Optional, Sequence

import numpy as np

from utils.attack.step import Gradients, Step

OVERSHOOT = 0.02     # eta in the paper
MAX_ITERATIONS = 10  # inside the UAP loop, as in its authors' code


def deepfool(x: np.ndarray, boundary_gradients: Gradients, label: int,
             candidates: Optional[Sequence[int]] = None,
             max_iter: int = MAX_ITERATIONS) -> Step:
    """Find the step that leaves the class `label`, or that reaches it.

    x: float32, (h, w, c), model-input units.
    boundary_gradients: function (point, label) -> (f, w): the logits f, float (K,), and the
        gradients w_k of f_k - f_k0 for the classes k of `candidates`, (m, h, w, c), where k0 is the
        class of the point; None when the point has left the class, or reached it. One call an
        iteration is all that is asked of the classifier.
    label: int, the class to leave, k(x_0) in the paper, or the class to reach.
    candidates: the classes whose boundary may be crossed. None: all but k0, to leave a class, as in
        the paper. [label], to reach it: then always the boundary with that class is crossed.
    max_iter: iterations at the most.
    Returns a Step; dv contains the overshoot. It is zero where x needs no step, and where all
    gradients are.
    """
    r = np.zeros_like(x)                                                       # line 2
    path: List[int] = []
    reached = None
    while len(path) < max_iter:
        f, w = boundary_gradients(x + np.float32(1 + OVERSHOOT) * r, label)
        k0 = int(f.argmax())
        if w is None:                                                          # line 3
            reached = k0
            break
        w = w.reshape((-1,) + x.shape)                                         # line 5: w'_k
        classes = np.arange(len(f)) if candidates is None else np.array(candidates)
        gaps = np.abs(f[classes] - f[k0])                                      # line 6: |f'_k|
        flat = w.reshape(len(w), -1)
        lengths = np.sqrt(np.einsum("ki,ki->k", flat, flat))                   # ||w'_k||_2
        distances = np.full(len(classes), np.inf)
        np.divide(gaps, lengths, out=distances, where=lengths > 0)             # not of k0 itself
        nearest = int(distances.argmin())                                      # line 8
        if not lengths[nearest] > 0:
            reached = k0
            break
        r_i = gaps[nearest] / lengths[nearest] ** 2 * w[nearest]               # line 9
        r += r_i.astype(np.float32)                                            # line 10
        path.append(int(classes[nearest]))
    return Step(np.float32(1 + OVERSHOOT) * r, path, reached)
