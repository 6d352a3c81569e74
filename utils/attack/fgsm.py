"""The fast gradient sign step (Goodfellow, Shlens, Szegedy: ICLR 2015, section 4).

The study's published code and the follow-up paper take this step inside the UAP loop.
"""

import numpy as np

from utils.attack.step import Gradients, Step

STEP_SIZE = 0.001  # L-infinity, model-input units, as in the study's code; 0.0005 in the follow-up


def fgsm(x: np.ndarray, loss_gradient: Gradients, label: int, step_size: float) -> Step:
    """Take one step of `step_size` in every pixel that leads from the class `label`, or towards it.

    x: float32, (h, w, c), model-input units.
    loss_gradient: function (x, label) -> (f, g): the logits f, float (K,), and the direction to go,
        (h, w, c). To leave the label, it has the direction of the gradient of the label's
        cross-entropy, but another length; to reach the label, the opposite one. g is None when x
        has left the label, or reached it.
    Returns a Step.
    """
    f, g = loss_gradient(x, label)
    if g is None:
        return Step(np.zeros_like(x), path=[], class_after=int(f.argmax()))
    dv = np.float32(step_size) * np.sign(g).astype(np.float32)
    return Step(dv, path=[label], class_after=None)
