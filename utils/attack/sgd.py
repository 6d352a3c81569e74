"""One perturbation for all images, by stochastic gradient ascent on minibatches.

Shafahi, Najibi, Xu, Dickerson, Davis, Goldstein: Universal adversarial training, AAAI 2020,
Algorithm 2: v <- P_{p,xi}(v + step), where the step climbs the mean over the minibatch of a loss
that is clipped at beta (equations 2 and 3), so that no image counts for more once it is fooled.

Every step is kept. The rule of utils.attack.uap, that a step is kept only when it changes the
label, is one for single images.

The loss is the logit margin; the paper's is the cross-entropy, whose gradient is the margin's times
1 - p_label, so a sure image counts for little. Steps, batches of 16 and beta 10 were chosen on
InceptionV3 without any test image; tests/README.md has the rates of all that were tried.
"""

from typing import Callable, Iterator, Optional, Tuple

import numpy as np

from utils.attack.events import Event, count_shown
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
    batch_size: the number of images in a minibatch. step_size: the length of every step in the
    p-norm, model-input units. Where it is None, the length falls in a straight line from FIRST_STEP
    to LAST_STEP times xi over all passes.
    Yields an event after each minibatch; see utils.attack.events.
    """
    while passes.another_is_due():
        for batch in passes.minibatches(batch_size):
            labels = objective.labels(batch.clean)
            f, g = gradient(batch.x + state.v, labels)
            length = step_size
            if length is None:
                length = xi * falling_step(state, passes, int(batch.positions[0]),
                                           batch_size=batch_size)
            state.v = project(state.v + steepest(g, p, length), p, xi)
            predicted = f.argmax(axis=1)
            is_met = objective.is_met(predicted, labels)
            paths = [[] if met else [int(label)] for met, label in zip(is_met, labels)]
            yield count_shown(state, positions=batch.positions, indices=batch.indices,
                              predicted=predicted, paths=paths, kept=True)
        yield from passes.finish_pass()


def falling_step(state: AttackState, passes: Passes, position: int, batch_size: int) -> float:
    """Return the length of the step for one minibatch of the current pass, as a share of xi.

    The share falls from FIRST_STEP, for the first minibatch of all passes, towards LAST_STEP.
    position: of any image of the minibatch, in the order of the pass. Broken images, which may be
    at its beginning, do not change the length.
    """
    images_of_pass = len(state.clean)
    first_position_of_batch = position // batch_size * batch_size
    images_before = state.passes_completed * images_of_pass + first_position_of_batch
    share_done = images_before / (passes.max_passes * images_of_pass)
    return FIRST_STEP + (LAST_STEP - FIRST_STEP) * share_done


def steepest(g: np.ndarray, p: float, length: float) -> np.ndarray:
    """Return the step of a given length in the p-norm that climbs g fastest.

    It goes along the signs of g for p = infinity, and along g itself for p = 2.
    g: (h, w, c). Returns float32, (h, w, c), all zeros where g is all zeros.
    """
    if p == np.inf:
        return (length * np.sign(g)).astype(np.float32)
    size = norm(g, 2)
    return (g * (length / size if size else 0)).astype(np.float32)
