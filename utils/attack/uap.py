"""One perturbation for all images.

Moosavi-Dezfooli, Fawzi, Fawzi, Frossard: Universal adversarial perturbations, CVPR 2017,
Algorithm 1. The algorithm knows arrays and functions only; reading and saving are the caller's.

A step is kept only when it changes the label. In Algorithm 1 it does by definition (line 6: the
smallest dv with k(x_i + v + dv) != k(x_i)); its authors' code keeps a DeepFool step only when it
took fewer iterations than allowed (universal_pert.py: iter < max_iter_df - 1, so at most 8 of 10;
here any that changes the label), and the study's code keeps its step only when the label under it,
before the projection, is another (universal_perturbation.py of its copy of ART).
"""

from typing import Iterator, List

import numpy as np

from utils.attack.events import Event, note_shown
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

    state: to begin with, or of an interrupted run. passes: over the images. look_ahead: tells the
    class of x + v. find_step: line 6, such as DeepFool. predict: k, the classifier. objective: what
    the attack wants: that k(x_i + v) is not k(x_i), as in the paper, or that it is a target. p, xi:
    the norm of the perturbation (2 or infinity) and its bound, model-input units.
    Yields an event after each image; see utils.attack.events.
    """
    while passes.another_is_due():                                                        # line 3
        for image in passes.images():                                                     # line 4
            label = int(objective.labels(image.clean))
            predicted = look_ahead.class_under_v(image)
            path: List[int] = []
            kept = False
            if not objective.is_met(predicted, label):                                    # line 5
                step = find_step(image.x + state.v, label)                                # line 6
                path = step.path
                kept = changes_label(step, image.x + state.v, label, predict, objective)
                if kept:
                    state.v = project(state.v + step.dv, p, xi)                           # line 7
            yield note_shown(state, [image.place], [image.image_index], [predicted], [path], kept)
        yield from passes.end()


def changes_label(step: Step, x: np.ndarray, label: int, predict: Predict,
                  objective: Objective) -> bool:
    """Tell whether the class of x + dv is what the attack wants.

    A DeepFool that converged has seen that class; after any other step the classifier is asked.
    """
    if not step.path:
        return False
    reached = step.reached
    if reached is None:
        reached = int(predict((x + step.dv)[np.newaxis])[0])
    return bool(objective.is_met(reached, label))
