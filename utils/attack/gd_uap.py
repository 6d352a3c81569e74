"""One perturbation without any image: the one that excites a network most, alone as its input.

Mopuri, Ganeshan, Venkatesh Babu: Generalizable data-free objective for crafting universal
adversarial perturbations, TPAMI 2018, without prior: maximise the product of the norms of the
convolutional layers' activations. As in the authors' code (classification/train.py, "no_data"): a
random start in the ball, Adam at a hundredth of xi, the sum of logarithms for the product; v is
halved when it is saturated, that is when more than half of its values are at the bound and that
share stays the same. Each such climb, or 400 iterations, ends in a look at v.

There, the fooling rate of 1,000 validation images chooses among these v, and ends the run once ten
in a row were not better; and a copy of the variable is projected, not v. Here is no image: the
objective chooses, and there are ten climbs (VGG16, 96 x 96: 161 at random, 172.3, 173.2 ... 174.5).
"""

import numpy as np

from utils.attack.state import Climbed, PassDone, State
from utils.images.norms import project

RATE = 0.01  # of Adam, as a share of xi: 0.1 of 10 grey levels
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8  # of Adam: Kingma, Ba, ICLR 2015
SATURATED, SETTLED = 0.5, 1e-5  # share of values at the bound; its change in an iteration
LONGEST = 400  # iterations of a climb
CLIMBS = 10


class Climb(State):
    """A State that also remembers Adam's moments, and the best v at the end of a climb.

    start: v to begin with. position: iterations in this climb; steps: in all. share: of values at
    the bound, an iteration ago. is_saturated: v is to be halved. objectives: at the end of each
    climb.
    """

    ARRAYS = ("v", "clean", "mean", "square", "best")

    def __init__(self, start):
        super().__init__(start.shape, 0)
        self.v, self.best = start, start
        self.mean, self.square = np.zeros_like(start), np.zeros_like(start)
        self.share, self.is_saturated, self.objectives = 0.0, False, []


def data_free(state, gradient, p, xi):
    """Run the climbs, as a generator; the result is state.best, which is then state.v too.

    state: a Climb, new or from an interrupted run.
    gradient: function (v) -> (objective, its gradient, (h, w, c)).
    p, xi: as of uap.universal_perturbation; the events are Climbed and, after a climb, PassDone.
    """
    while state.pass_number < CLIMBS:
        if state.is_saturated:  # and was looked at
            state.v, state.is_saturated = state.v / 2, False
        objective, g = gradient(state.v)
        share = float(np.mean(np.abs(state.v) >= np.float32(xi)))  # stays 0 where p = 2
        state.is_saturated = (state.position > 0 and share > SATURATED
                              and abs(share - state.share) < SETTLED)
        state.share = share
        if state.is_saturated or state.position == LONGEST:
            if objective > max(state.objectives, default=-np.inf):
                state.best = state.v
            state.objectives.append(float(objective))
            state.pass_number += 1
            state.position = 0
            yield PassDone(state.pass_number, None)
        else:
            state.v = project(state.v + adam(state, g, RATE * xi), p, xi)
            state.position += 1
            yield Climbed()
    state.v = state.best


def adam(state, g, rate):
    """The step of Adam (Algorithm 1 of Kingma and Ba) that climbs g; notes it in `state`."""
    state.steps += 1
    state.updates += 1
    state.mean = MEAN_DECAY * state.mean + (1 - MEAN_DECAY) * g
    state.square = SQUARE_DECAY * state.square + (1 - SQUARE_DECAY) * g ** 2
    return (rate * state.mean / (1 - MEAN_DECAY ** state.steps)
            / (np.sqrt(state.square / (1 - SQUARE_DECAY ** state.steps)) + EPSILON))
