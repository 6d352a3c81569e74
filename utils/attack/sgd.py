"""One perturbation for all images, by stochastic gradient ascent on minibatches.

Shafahi, Najibi, Xu, Dickerson, Davis, Goldstein: Universal adversarial training, AAAI 2020,
Algorithm 2: v <- P_{p,xi}(v + step), where the step climbs the mean over the minibatch of a loss
that is clipped at beta (equations 2 and 3), so that no image counts for more once it is fooled.

The rule of utils.attack.uap, a step is kept only when it changes the label, is one for single
images: here every step is kept.

The loss is the logit margin; the paper's is the cross-entropy, whose gradient is the margin's times
1 - p_label, so a sure image counts for little. Steps, batches of 16 and beta 10 were chosen without
test images, on InceptionV3; tests/sgd_steps.py measures the steps: 1,000 images of ILSVRC2012 shown
once, one run each; fooling rate (%) of 400 training images of the classifier, and of 200 other
natural images:

    steps, in xi             0.1      0.2 to 0.05   0.4 to 0.1   0.2 to 0.01
    InceptionV3, 128 px      36, 48   38, 51        29, 43       42, 55
    VGG16, 96 px             56, 52   58, 57        66, 61       56, 54
    ResNet50, generated *    15, 17   16, 17        15, 17       15, 17
    InceptionV3, cross-entropy, 0.2 to 0.05: 29, 43
    InceptionV3, 0.2 to 0.01, batches of 8: 30, 46; of 32: 31, 44; beta 2: 31, 49
    * the demo's classifier, 280 of its images

From 640 ISIC2018 images the losses are alike: margin 86, cross-entropy 88 (steps 0.2 to 0.05).
"""

from typing import Callable, Iterator, Optional, Tuple

import numpy as np

from utils.attack.events import Event, note_shown
from utils.attack.objective import Objective
from utils.attack.passes import Passes
from utils.attack.state import AttackState
from utils.images.norms import norm, project

FIRST_STEP, LAST_STEP = 0.2, 0.01  # as shares of xi

# A minibatch x, float32 (n, h, w, c), and the classes to leave or to reach, int (n,) -> the logits,
# (n, K), and the gradient of the minibatch's loss, (h, w, c), which points where it grows: to leave
# these classes, or to reach them.
MinibatchGradient = Callable[[np.ndarray, np.ndarray], Tuple[np.ndarray, np.ndarray]]


def stochastic_gradient(state: AttackState, passes: Passes, gradient: MinibatchGradient,
                        objective: Objective, p: float, xi: float, batch_size: int,
                        step_size: Optional[float] = None) -> Iterator[Event]:
    """Run Algorithm 2; the result is state.v.

    state, passes, objective, p, xi: as of uap.universal_perturbation. gradient: of the classifier.
    batch_size: images in a minibatch. step_size: length of each step in the p-norm, model-input
    units, the same throughout. None: it falls in a straight line from FIRST_STEP to LAST_STEP times
    xi over all passes.
    Yields an event after each minibatch; see utils.attack.events.
    """
    while passes.another_is_due():
        for batch in passes.minibatches(batch_size):
            labels = objective.labels(batch.clean)
            f, g = gradient(batch.x + state.v, labels)
            length = step_size or xi * falling_step(state, passes, int(batch.places[0]), batch_size)
            state.v = project(state.v + steepest(g, p, length), p, xi)
            predicted = f.argmax(axis=1)
            fooled = objective.is_met(predicted, labels)
            paths = [[] if is_fooled else [int(label)]
                     for is_fooled, label in zip(fooled, labels)]
            yield note_shown(state, batch.places, batch.indices, predicted, paths, kept=True)
        yield from passes.end()


def falling_step(state: AttackState, passes: Passes, place: int, batch_size: int) -> float:
    """Return the length of the step for the minibatch that holds a place of the current pass.

    Returns a share of xi, from FIRST_STEP to LAST_STEP.
    """
    images_of_pass = len(state.clean)
    shown = state.pass_number * images_of_pass + place // batch_size * batch_size
    share_done = shown / (passes.most * images_of_pass)
    return FIRST_STEP + (LAST_STEP - FIRST_STEP) * share_done


def steepest(g: np.ndarray, p: float, length: float) -> np.ndarray:
    """Return the step of this p-norm that climbs g fastest: along its signs (p = inf), or it (2).

    g: (h, w, c). Returns float32, (h, w, c); zeros where g is.
    """
    if p == np.inf:
        return (length * np.sign(g)).astype(np.float32)
    size = norm(g, 2)
    return (g * (length / size if size else 0)).astype(np.float32)
