"""The fast gradient sign step (Goodfellow, Shlens, Szegedy: ICLR 2015, section 4).

The study's published code and the follow-up paper take this step inside the UAP loop.
"""

import numpy as np

from utils.attack.deepfool import Step

STEP_SIZE = 0.001  # L-infinity, model-input units, as in the study's code; 0.0005 in the follow-up


def fgsm(x, margin_gradient, label, step_size=STEP_SIZE):
    """One step of `step_size` in every pixel that raises the loss of the class `label`.

    x: float32, (h, w, c), model-input units.
    margin_gradient: function (x, label, leave) -> (f, g): logits, float (K,), and the gradient g
        (h, w, c) of logsumexp_{k != label} f_k - f_label, or None when there is nothing to do. It
        points exactly where the gradient of the cross-entropy does, which is 1 - p_label times as
        long and vanishes in float32 on a confident classifier.
    Returns a Step.
    """
    return _signed(x, margin_gradient(x, label, True), step_size, label)


def targeted_fgsm(x, margin_gradient, target, step_size=STEP_SIZE):
    """One step of `step_size` in every pixel that lowers the loss of the class `target`."""
    return _signed(x, margin_gradient(x, target, False), -step_size, target)


def _signed(x, logits_and_gradient, step_size, label):
    f, g = logits_and_gradient
    predicted = int(np.argmax(f))
    if g is None:
        return Step(np.zeros_like(x), predicted, [], predicted)
    return Step(np.float32(step_size) * np.sign(g).astype(np.float32), predicted, [label], None)
