"""The class of x + v for one image after another, several of them predicted in one batch.

It is what makes line 5 of Algorithm 1 fast. While v fools image after image, more and more of those
that come next are predicted together, under the present v. At the first image that v does not fool,
v may change: what was predicted of the images behind it is dropped. So every image meets the v that
it would meet alone.
"""

from typing import List

import numpy as np

from utils.attack.objective import Objective
from utils.attack.passes import IMAGES_HELD, Image, Images
from utils.attack.state import AttackState
from utils.attack.step import Gradients, Predict


def remember_last_answer(gradients: Gradients) -> Gradients:
    """Return a function of gradients that computes only once what it is asked twice in a row.

    Line 5 of Algorithm 1 asks for the class of x + v. In line 6 the step's first question is for
    the class and the gradients at the same point. One run of the network answers both.
    """
    asked_x = asked_label = answer = None

    def remembering(x, label):
        nonlocal asked_x, asked_label, answer
        if answer is None or label != asked_label or not np.array_equal(x, asked_x):
            answer = gradients(x, label)
            asked_x, asked_label = x, label
        return answer

    return remembering


class LookAhead:
    """Tells which class each image has under the present v.

    state: of the attack. Only this class writes its next_batch_size and classes_ahead; they are in
    the state so that a run that is continued predicts the same batches.
    predict, gradients: of the classifier, as in utils.attack.step. The gradients are those that the
    step is computed from, wrapped in remember_last_answer.
    """

    def __init__(self, state: AttackState, predict: Predict, gradients: Gradients,
                 objective: Objective) -> None:
        self._state, self._predict = state, predict
        self._gradients, self._objective = gradients, objective

    def class_under_v(self, image: Image) -> int:
        """Return the class of x + v.

        It must be called once for each image of a pass, in the order of the pass.
        """
        if not self._state.classes_ahead:
            self._state.classes_ahead = self._look(image.held)
        return self._state.classes_ahead.pop(0)

    def _look(self, images: Images) -> List[int]:
        """Return the classes under v of the first images, up to the first that v does not fool."""
        state = self._state
        batch = images.part(0, state.next_batch_size)
        labels = self._objective.labels(batch.clean)
        if state.next_batch_size == 1:  # the step will most likely be needed
            f, _ = self._gradients(batch.x[0] + state.v, int(labels[0]))
            predicted = np.array([f.argmax()])
        else:
            predicted = self._predict(batch.x + state.v)
        fooled = self._objective.is_met(predicted, labels)
        if fooled.all():
            state.next_batch_size = min(2 * state.next_batch_size, IMAGES_HELD)
            return predicted.tolist()
        state.next_batch_size = 1
        first_not_fooled = int(fooled.argmin())
        return predicted[:first_not_fooled + 1].tolist()
