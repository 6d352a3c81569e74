"""The step for one image, and the functions of a classifier from which attacks compute it."""

from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np


class Step(NamedTuple):
    """The step that line 6 of Algorithm 1 asks for.

    dv: float32, (h, w, c), the step from x; it is zero where x needs none.
    path: the class towards which each iteration went, so its length is the number of iterations.
        An attack with one iteration names the label that its loss is of. An empty path says that
        no step was made, and dv is then not used.
    class_after: the class of x + dv, None where the attack did not look at that point.
    """

    dv: np.ndarray
    path: List[int]
    class_after: Optional[int]


# A batch, float32 (n, h, w, c), model-input units -> the class predicted for each, int (n,).
Predict = Callable[[np.ndarray], np.ndarray]

# One image x, float32 (h, w, c), and the class to leave or to reach -> the logits f, float (K,),
# and gradients of logits, None where the image has left, or reached, the class already.
Gradients = Callable[[np.ndarray, int], Tuple[np.ndarray, Optional[np.ndarray]]]

# One image x, float32 (h, w, c), and the class to leave or to reach -> the step.
FindStep = Callable[[np.ndarray, int], Step]
