"""DeepFool: the smallest step, to first order, that takes one image across a decision boundary.

Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, CVPR 2016, Algorithm 2 (multiclass, L2). As in its
authors' published code, the label is checked at the overshot point x + (1 + overshoot) r.

Comments name the lines of Algorithm 2. Line 1 is what goes in and comes out, 2 the initialisation,
3 the while, 4 to 7 the loop over the classes, 8 the nearest boundary, and 9 and 10 the step to it.
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
        class of the point. w is None when the point has left the class `label`, or reached it.
        Each iteration calls this function once, and asks nothing else of the classifier.
    label: int, the class to leave, which is k(x_0) in the paper, or the class to reach.
    candidates: the classes whose boundary may be crossed. To leave a class, as in the paper, it is
        None: all classes but k0. To reach a class it is [label]: the boundary with that class is
        then crossed in every iteration.
    max_iter: the largest number of iterations.
    Returns a Step whose dv contains the overshoot. dv is zero where x needs no step, and where no
    candidate has a gradient that is not zero, for then there is no direction to go.
    """
    r = np.zeros_like(x)                                                       # line 2
    path: List[int] = []
    class_after = None
    while len(path) < max_iter:
        f, w = boundary_gradients(x + np.float32(1 + OVERSHOOT) * r, label)
        k0 = int(f.argmax())
        if w is None:                                                          # line 3
            class_after = k0
            break
        w = w.reshape((-1,) + x.shape)                                         # line 5: w'_k
        classes = np.arange(len(f)) if candidates is None else np.array(candidates)
        gaps = np.abs(f[classes] - f[k0])                                      # line 6: |f'_k|
        flat = w.reshape(len(w), -1)
        lengths = np.sqrt(np.einsum("ki,ki->k", flat, flat))                   # ||w'_k||_2
        distances = np.full(len(classes), np.inf)
        np.divide(gaps, lengths, out=distances, where=lengths > 0)             # not of k0 itself
        nearest = int(distances.argmin())                                      # line 8
        if not lengths[nearest] > 0:  # it is 0, or nan: no boundary is at a finite distance
            class_after = k0          # the class that was to be left, or not yet the one to reach
            break
        r_i = gaps[nearest] / lengths[nearest] ** 2 * w[nearest]               # line 9
        r += r_i.astype(np.float32)                                            # line 10
        path.append(int(classes[nearest]))
    return Step(np.float32(1 + OVERSHOOT) * r, path, class_after)
