"""What makes line 5 of Algorithm 1 fast asks the classifier no more than it must."""

import numpy as np

from utils.attack.attacks import attack_events
from utils.attack.deepfool import MAX_ITERATIONS
from utils.attack.events import ImagesShown
from utils.attack.look_ahead import remember_last_answer
from utils.attack.settings import AttackSettings
from utils.attack.state import first_state


def test_the_same_question_twice_in_a_row_is_answered_once():
    asked = []

    def gradients(x, label):
        asked.append((x.tolist(), label))
        return x + label, None

    remembering, x = remember_last_answer(gradients), np.zeros(2)
    for _ in range(2):
        np.testing.assert_array_equal(remembering(x + 0, 1)[0], [1, 1])
    np.testing.assert_array_equal(remembering(x, 2)[0], [2, 2])
    np.testing.assert_array_equal(remembering(x + 1, 2)[0], [3, 3])
    np.testing.assert_array_equal(remembering(x, 1)[0], [1, 1])
    assert asked == [([0, 0], 1), ([0, 0], 2), ([1, 1], 2), ([0, 0], 1)]


def test_of_an_image_that_v_does_not_fool_each_point_is_looked_at_once(toy):
    classifier, looks, visits = toy(0, hidden=10), [], []
    images, leave = classifier.images(100), classifier.boundary_gradients_to_leave

    def counted(x, label):
        looks.append(label)
        return leave(x, label)

    classifier.boundary_gradients_to_leave = counted
    state = first_state(classifier.shape, len(images))
    for event in attack_events(AttackSettings(norm_ratio=0.1), classifier, state,
                               read=lambda indices: images[indices], target=None, xi=0.15):
        visits += event.visits if isinstance(event, ImagesShown) else []
    label_checks = sum(len(visit.path) + (len(visit.path) < MAX_ITERATIONS)
                       for visit in visits if visit.path)
    fooled = sum(not visit.path for visit in visits)
    assert label_checks <= len(looks) <= label_checks + fooled  # each of these alone at the most
    assert 20 < fooled < len(visits) - 20
