"""One perturbation for all images.

Moosavi-Dezfooli, Fawzi, Fawzi, Frossard: Universal adversarial perturbations, CVPR 2017,
Algorithm 1. The algorithm knows arrays and functions only; reading and saving are the caller's.

Comments name the lines of Algorithm 1. Line 1 is what goes in and comes out, 2 sets v to 0 (in
attacks.beginning), 3 is the while, 4 the for, 5 the if, 6 the step, and 7 the projection.

Line 3 differs from the paper, which goes on until v fools a share 1 - delta of the images. Here the
number of passes is given, by default one, and then the rate is never looked at. Only where
--target-fooling-rate is given, too, can a rate that is high enough end the loop before.

A step is kept only when it changes the label. In Algorithm 1 it does so by definition: line 6 asks
for the smallest dv with k(x_i + v + dv) != k(x_i). Its authors' code keeps a DeepFool step only
when it took fewer iterations than allowed (universal_pert.py: iter < max_iter_df - 1, so at most 8
of 10), where here any number will do that changes the label. The study's code keeps its step only
when the label under it, before the projection, is another (universal_perturbation.py of its copy of
ART).

Three things spare runs of the network. While v fools image after image, the look-ahead predicts
the classes of several under v at once (look_ahead.LookAhead). Where a step will probably be needed,
the look-ahead asks for the gradients there as well, and this last answer is kept, since DeepFool
begins by asking for it again (look_ahead.remember_last_answer). And DeepFool ends with a look at
the point that it reached, so whether its step changes the label needs no further prediction
(step_succeeds).
"""

from typing import Iterator, List

import numpy as np

from utils.attack.events import Event, count_shown
from utils.attack.look_ahead import LookAhead
from utils.attack.objective import Objective
from utils.attack.passes import Passes
from utils.attack.state import AttackState
from utils.attack.step import FindStep, Predict, Step
from utils.images.norms import project


def universal_perturbation(state: AttackState, passes: Passes, look_ahead: LookAhead,
                           find_step: FindStep, predict: Predict, objective: Objective, p: float,
                           xi: float) -> Iterator[Event]:
    """Run Algorithm 1; the result is state.v.

    state: the state in which the attack begins, or the one in which an interrupted run stopped.
    passes: over the images. look_ahead: tells the class of x + v. find_step: line 6, such as
    DeepFool. predict: k, the classifier. objective: what the attack wants, which is that k(x_i + v)
    is not k(x_i), as in the paper, or that it is a target. p, xi: the norm of the perturbation (2
    or infinity) and its bound, model-input units.
    Yields an event after each image; see utils.attack.events.
    """
    while passes.another_is_due():                                                        # line 3
        for image in passes.images():                                                     # line 4
            label = int(objective.labels(image.clean))  # k(x_i), or the target
            predicted = look_ahead.class_under_v(image)  # k(x_i + v)
            path: List[int] = []
            kept = False
            if not objective.is_met(predicted, label):                                    # line 5
                step = find_step(image.x + state.v, label)                                # line 6
                path = step.path
                kept = step_succeeds(step, image.x + state.v, label, predict=predict,
                                     objective=objective)
                if kept:
                    state.v = project(state.v + step.dv, p, xi)                           # line 7
            yield count_shown(state, positions=[image.position], indices=[image.image_index],
                              predicted=[predicted], paths=[path], kept=kept)
        yield from passes.finish_pass()


def step_succeeds(step: Step, x: np.ndarray, label: int, predict: Predict,
                  objective: Objective) -> bool:
    """Tell whether the class of x + dv is what the attack wants.

    step: from x; one with an empty path is none. x: float32, (h, w, c), model-input units. label:
    the class to leave or to reach. A DeepFool that converged has seen the class of x + dv; after
    any other step the classifier is asked.
    """
    if not step.path:
        return False
    class_after = step.class_after
    if class_after is None:
        class_after = int(predict((x + step.dv)[np.newaxis])[0])
    return bool(objective.is_met(class_after, label))
