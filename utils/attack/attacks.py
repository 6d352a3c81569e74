"""From the settings of a run to the attack that they ask for."""

from typing import Any, Iterator, Optional, Tuple

import numpy as np

from utils.attack.deepfool import deepfool
from utils.attack.events import Event
from utils.attack.fgsm import STEP_SIZE, fgsm
from utils.attack.gd_uap import ClimbState, data_free, first_climb_state
from utils.attack.look_ahead import LookAhead, remember_last_answer
from utils.attack.objective import Objective
from utils.attack.passes import Passes, ReadSourceImages
from utils.attack.settings import AttackSettings
from utils.attack.sgd import stochastic_gradient
from utils.attack.state import AttackState, first_state
from utils.attack.step import FindStep, Gradients
from utils.attack.uap import universal_perturbation
from utils.images.norms import random_of_norm


def beginning(settings: AttackSettings, shape: Tuple[int, int, int], number_of_images: int,
              xi: float, grey: bool) -> AttackState:
    """Return the state in which the attack begins.

    shape: of v, (h, w, c). xi: the bound of the norm, model-input units. grey: whether v has to be
    the same in all channels.
    """
    if settings.attack == "gd-uap":
        seed = [settings.seed, 1]  # not the vector that evaluate.py takes for a control
        return first_climb_state(random_of_norm(shape, settings.norm, xi, seed=seed, grey=grey))
    return first_state(shape, number_of_images)


def attacked_functions(settings: AttackSettings, model: Any, grey: bool) -> Any:
    """Make of a Keras model what the attack asks: an AttackGraph, or, for gd-uap, a function of v.

    grey: whether v has to be the same in all channels.
    """
    from utils.attack.gradients.graph import AttackGraph, activation_energy  # imports TensorFlow

    if settings.attack == "gd-uap":
        return activation_energy(model, grey)
    return AttackGraph(model, grey)


def attack_events(settings: AttackSettings, classifier: Any, state: AttackState,
                  read: ReadSourceImages, target: Optional[int], xi: float) -> Iterator[Event]:
    """Run the attack on from a state; the result is state.v.

    classifier: of attacked_functions, or what answers like it. read: of the images. target: the
    index of the class to reach, None to leave the clean class. xi: bound of the norm, model-input
    units. Yields the events of utils.attack.events.
    """
    if isinstance(state, ClimbState):  # of gd-uap
        return data_free(state, classifier, settings.norm, xi=xi)

    def predict(batch: np.ndarray) -> np.ndarray:
        return classifier.logits(batch).argmax(axis=1)

    objective = Objective(target)
    passes = Passes(state, read, predict, objective=objective, seed=settings.seed,
                    max_passes=settings.passes,
                    target_fooling_rate=settings.target_fooling_rate)
    if settings.attack == "sgd":
        gradient = (classifier.minibatch_gradient_to_leave if target is None
                    else classifier.minibatch_gradient_to_reach)
        return stochastic_gradient(
            state, passes, gradient, objective=objective, p=settings.norm, xi=xi,
            batch_size=settings.batch_size, step_size=settings.step_size)
    gradients, find_step = step_for_one_image(settings, classifier, target)
    look_ahead = LookAhead(state, predict, gradients, objective=objective)
    return universal_perturbation(state, passes, look_ahead, find_step=find_step, predict=predict,
                                  objective=objective, p=settings.norm, xi=xi)


def step_for_one_image(settings: AttackSettings, classifier: Any,
                       target: Optional[int]) -> Tuple[Gradients, FindStep]:
    """Return the gradients that the attack asks for, and the step made of them.

    The step is line 6 of Algorithm 1. target: as of attack_events.
    """
    if settings.attack == "fgsm":
        gradients = remember_last_answer(classifier.loss_gradient_to_leave if target is None
                                         else classifier.loss_gradient_to_reach)
        step_size = settings.step_size or STEP_SIZE
        return gradients, lambda x, label: fgsm(x, gradients, label, step_size=step_size)
    if settings.attack == "deepfool":
        gradients = remember_last_answer(classifier.boundary_gradients_to_leave if target is None
                                         else classifier.boundary_gradient_to_reach)
        candidates = None if target is None else [target]
        return gradients, lambda x, label: deepfool(x, gradients, label, candidates=candidates)
    raise ValueError(f"unknown attack {settings.attack}")
