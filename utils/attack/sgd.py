"""One perturbation for all images, by stochastic gradient ascent on minibatches.

Shafahi, Najibi, Xu, Dickerson, Davis, Goldstein: Universal adversarial training, AAAI 2020,
Algorithm 2: v <- P_{p,xi}(v + step), where the step climbs the mean over the minibatch of a loss
that is clipped at beta (equations 2 and 3), so that no image counts for more once it is fooled.

The rule of utils.attack.uap, a step is kept only when it changes the label, is one for single
images: here every step is kept.
"""

import numpy as np

from utils.attack.norms import norm, project
from utils.attack.state import Showing

BATCH_SIZE = 16
FIRST_STEP, LAST_STEP = 0.1, 0.01  # as shares of xi


def stochastic_gradient(state, read, logits, gradient, p, xi, passes, seed, batch_size=BATCH_SIZE,
                        step_size=None, target=None, goal=None):
    """Run Algorithm 2, as a generator; the result is state.v.

    state, read, logits, p, xi, passes, seed, target, goal: as of uap.universal_perturbation; the
        events too, one Shown for each minibatch.
    gradient: function (x, label) -> (f, g), of a minibatch x (n, h, w, c) and label (n,): logits
        (n, K), and g (h, w, c), which points where the loss grows: to leave the labels, or to
        reach them where there is a target; see graph.AttackGraph.
    step_size: length of each step in the p-norm, model-input units, the same throughout. None:
        it falls in a straight line from FIRST_STEP to LAST_STEP times xi over all passes.
    """
    showing, n = Showing(state, read, logits, target), len(state.clean)

    def length():
        done = (state.pass_number * n + state.position) / (passes * n)
        return step_size or xi * (FIRST_STEP + (LAST_STEP - FIRST_STEP) * done)

    def one_pass():
        for end, places, indices, x in showing.blocks(showing.order(seed), state.position,
                                                      batch_size):
            if len(indices):
                label = state.clean[indices] if target is None else np.full(len(x), target)
                f, g = gradient(x + state.v, label)
                state.v = project(state.v + steepest(g, p, length()), p, xi)
                shown = showing.show_minibatch(places, indices, f, label)
                state.position = end
                yield shown
            state.position = end

    yield from showing.passes(one_pass, passes, goal)


def steepest(g, p, length):
    """The step of this p-norm that climbs g fastest: along its signs (p = inf), or along it (2)."""
    if p == np.inf:
        return (length * np.sign(g)).astype(np.float32)
    size = norm(g, 2)
    return (g * (length / size if size else 0)).astype(np.float32)
