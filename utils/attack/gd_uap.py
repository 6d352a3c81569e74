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

from dataclasses import dataclass, field
from typing import Callable, Iterator, List, Tuple

import numpy as np

from utils.attack.events import Event, Iterated, PassDone
from utils.attack.state import AttackState
from utils.images.norms import project

RATE = 0.01  # of Adam, as a share of xi: 0.1 of 10 grey levels
MEAN_DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.999, 1e-8  # of Adam: Kingma, Ba, ICLR 2015
SATURATED, SETTLED = 0.5, 1e-5  # share of values at the bound; its change in an iteration
LONGEST = 400  # iterations of a climb
CLIMBS = 10

# v, float32 (h, w, c), model-input units, the only input -> the objective, and its gradient,
# (h, w, c).
ObjectiveGradient = Callable[[np.ndarray], Tuple[float, np.ndarray]]


@dataclass(eq=False)
class ClimbState(AttackState):
    """The state of an attack without images.

    Its passes are the climbs: passes_completed counts them. position counts the iterations of the
    current climb, and steps those of all climbs.
    mean, square: Adam's moments, float32, (h, w, c). best: the v whose objective was the highest at
    the end of a climb. share_at_bound: the share of v's values that were at the bound an iteration
    ago. is_saturated: whether v is to be halved. objectives: the objective at the end of each
    climb.
    """

    mean: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    square: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    best: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    share_at_bound: float = 0.0
    is_saturated: bool = False
    objectives: List[float] = field(default_factory=list)


def first_climb_state(start: np.ndarray) -> ClimbState:
    """Return the state in which the climbs begin.

    start: v, float32 (h, w, c), model-input units.
    """
    return ClimbState(v=start, clean=np.zeros(0, np.int64), mean=np.zeros_like(start),
                      square=np.zeros_like(start), best=start)


def data_free(state: ClimbState, gradient: ObjectiveGradient, p: float,
              xi: float) -> Iterator[Event]:
    """Run the climbs; the result is state.best, which is then state.v too.

    state: the state in which the attack begins, or the one in which an interrupted run stopped.
    gradient: of the network. p, xi: as of uap.universal_perturbation.
    Yields Iterated after an iteration, and PassDone after a climb; see utils.attack.events.
    """
    while state.passes_completed < CLIMBS:
        if state.is_saturated:  # and was looked at
            state.v, state.is_saturated = state.v / 2, False
        objective, g = gradient(state.v)
        share = float(np.mean(np.abs(state.v) >= np.float32(xi)))  # stays 0 where p = 2
        is_settled = abs(share - state.share_at_bound) < SETTLED
        state.is_saturated = state.position > 0 and share > SATURATED and is_settled
        state.share_at_bound = share
        if state.is_saturated or state.position == LONGEST:
            if objective > max(state.objectives, default=-np.inf):
                state.best = state.v
            state.objectives.append(float(objective))
            state.passes_completed += 1
            state.position = 0
            yield PassDone(state.passes_completed, None)
        else:
            state.v = project(state.v + adam(state, g, RATE * xi), p, xi)
            state.position += 1
            yield Iterated()
    state.v = state.best


def adam(state: ClimbState, g: np.ndarray, rate: float) -> np.ndarray:
    """Return the step of Adam (Algorithm 1 of Kingma and Ba) that climbs g; note it in `state`.

    g: (h, w, c). rate: of the step in each value, model-input units. Returns (h, w, c).
    """
    state.steps += 1
    state.updates += 1
    state.mean = MEAN_DECAY * state.mean + (1 - MEAN_DECAY) * g
    state.square = SQUARE_DECAY * state.square + (1 - SQUARE_DECAY) * g ** 2
    return (rate * state.mean / (1 - MEAN_DECAY ** state.steps)
            / (np.sqrt(state.square / (1 - SQUARE_DECAY ** state.steps)) + EPSILON))
