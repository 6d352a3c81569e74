"""The step for one image, and the functions of a classifier from which attacks compute it."""

from typing import Callable, List, NamedTuple, Optional, Tuple

import numpy as np


class Step(NamedTuple):
    """The step that line 6 of Algorithm 1 asks for.

    dv: float32, (h, w, c), the step from x; zeros where x needs none. path: the class towards which
    each iteration went, so its length is the number of iterations; of attacks with one step, the
    label that their loss is of. reached: the class of x + dv, None where the attack did not look.
    """

    dv: np.ndarray
    path: List[int]
    reached: Optional[int]


# A batch, float32 (n, h, w, c), model-input units -> the class predicted for each, int (n,).
Predict = Callable[[np.ndarray], np.ndarray]

# One image x, float32 (h, w, c), and the class to leave or to reach -> the logits f, float (K,),
# and gradients of logits, None where the image has left, or reached, the class already.
Gradients = Callable[[np.ndarray, int], Tuple[np.ndarray, Optional[np.ndarray]]]

# One image x, float32 (h, w, c), and the class to leave or to reach -> the step.
FindStep = Callable[[np.ndarray, int], Step]
