"""The minibatch attack against a slow version in float64, closed forms, and itself resumed.

What it shares with the loop over single images is tested in test_uap.py.
"""

import numpy as np
import pytest
from test_attack_graph import images
from test_uap import BATCH, XI, projected, run, start

from utils.attack.events import ImagesShown
from utils.attack.gradients.graph import BETA, AttackGraph
from utils.attack.sgd import FIRST_STEP, LAST_STEP, steepest
from utils.images.norms import norm


def plain_version(classifier, pictures, p, target, passes, seed=0):
    """Algorithm 2 again, each gradient by differences of the loss of the whole minibatch."""
    def loss(v, batch):
        total = 0
        for x in batch:
            probabilities = np.exp(classifier.f(x + v))
            probabilities /= probabilities.sum()
            k = classifier.top(x) if target is None else target
            margin = np.log((1 - probabilities[k]) / probabilities[k])
            total += min(BETA, margin if target is None else -margin)
        return total / len(batch)

    v, xi, visits, h = np.zeros(classifier.shape), XI[p], [], 1e-5
    for number in range(passes):
        order = np.random.RandomState([seed, number]).permutation(len(pictures))
        for begin in range(0, len(order), BATCH):
            indices = [i for i in order[begin:begin + BATCH] if pictures[i] is not None]
            batch = [pictures[i].astype(np.float64) for i in indices]
            if not batch:
                continue
            under_v = [classifier.top(x + v) for x in batch]
            steps = h * np.eye(v.size).reshape((-1,) + v.shape)
            g = np.array([loss(v + step, batch) - loss(v - step, batch) for step in steps])
            g = g.reshape(v.shape) / (2 * h)
            done = (number * len(order) + begin) / (passes * len(order))
            length = xi * (FIRST_STEP * (1 - done) + LAST_STEP * done)
            v = v + length * (np.sign(g) if p == np.inf else g / np.sqrt((g ** 2).sum()))
            v = projected(v, p, xi)
            for i, x, k in zip(indices, batch, under_v):
                clean = classifier.top(x)
                wanted = k == target if target is not None else k != clean
                visits.append((len(visits) + 1, number + 1, i, clean, k,
                               [] if wanted else [clean if target is None else target], True))
    return v, visits


def assert_same_run(classifier, pictures, p=np.inf, target=None, passes=1):
    """Returns the product's state."""
    state, visits = run(classifier, pictures, "sgd", p, target, passes=passes)
    v, plain_visits = plain_version(classifier, pictures, p, target, passes)
    np.testing.assert_allclose(state.v, v, rtol=0, atol=1e-5 * XI[p])
    assert [tuple(visit) for visit in visits] == plain_visits
    assert state.v.any() and norm(state.v, p) <= XI[p] * (1 + 1e-6)
    return state


@pytest.mark.parametrize("number", [BATCH, 5 * BATCH - 2])
@pytest.mark.parametrize("hidden", [None, 10])
@pytest.mark.parametrize("target", [None, 0, 2])
@pytest.mark.parametrize("p", [2, np.inf])
def test_one_step_and_ten_are_those_of_the_algorithm(toy, p, target, hidden, number):
    classifier = toy(1, hidden=hidden)
    passes = 1 if number == BATCH else 2
    state = assert_same_run(classifier, list(classifier.images(number)), p, target, passes)
    assert state.steps == state.updates == (1 if passes == 1 else 10)


def test_unreadable_images_are_left_out_of_their_minibatch(toy):
    classifier = toy(0, hidden=10)
    pictures = list(classifier.images(6 * BATCH))
    order = np.random.RandomState([0, 0]).permutation(len(pictures))
    for i in [order[0], order[2 * BATCH - 1], *order[3 * BATCH:4 * BATCH]]:
        pictures[i] = None
    state = assert_same_run(classifier, pictures)
    assert state.steps == 5 and state.visits == 5 * BATCH - 2


@pytest.mark.parametrize("p", [2, np.inf])
@pytest.mark.parametrize("target", [None, 1])
def test_on_two_linear_classes_v_ends_where_the_ball_reaches_farthest(toy, target, p):
    classifier = toy(2, classes=2)
    pictures = [x for x in classifier.images(300) if target == 1 or classifier.top(x) == 0]
    state, _ = run(classifier, pictures, "sgd", p, target, passes=1)
    w = classifier.gradients(pictures[0])[1] - classifier.gradients(pictures[0])[0]
    corner = XI[p] * (np.sign(w) if p == np.inf else w / norm(w, 2))
    np.testing.assert_allclose(state.v, corner, rtol=0, atol=1e-6)


@pytest.mark.parametrize("p", [2, np.inf])
def test_the_steepest_step_has_the_length_and_no_other_climbs_more(p):
    random = np.random.RandomState(0)
    g = random.normal(size=(3, 4, 3))
    best = steepest(g, p, 0.25)
    assert best.dtype == np.float32 and norm(best, p) == pytest.approx(0.25, rel=1e-6)
    for _ in range(50):
        other = random.normal(size=g.shape)
        assert (g * other).sum() * 0.25 / norm(other, p) < (g * best).sum()
    assert not steepest(0 * g, p, 0.25).any()


@pytest.mark.parametrize("p", [2, np.inf])
def test_every_step_has_the_length_asked_for(toy, p):
    classifier, lengths = toy(0, classes=2), []
    pictures = [classifier.image_of(0) for _ in range(4 * BATCH)]
    state, events = start(classifier, pictures, "sgd", p, passes=1, step_size=0.01)
    before = state.v
    for event in events:
        if isinstance(event, ImagesShown):
            lengths.append(norm(state.v - before, p))
            before = state.v
    np.testing.assert_allclose(lengths, [0.01] * 4, rtol=1e-4)


def test_clean_images_are_predicted_once_and_not_again_in_the_second_pass(toy):
    classifier, asked = toy(0), []
    run(classifier, list(classifier.images(3 * BATCH + 2)), "sgd", passes=2, asked=asked)
    assert [len(batch) for batch in asked] == [BATCH] * 3 + [2]


@pytest.mark.parametrize("leave", [True, False])
def test_the_gradient_of_a_minibatch_is_the_mean_of_its_images(model, leave):
    graph, x = AttackGraph(model), images(40)
    f = graph.logits(x)
    label = f.argmax(axis=1)
    label[::3] = (label[::3] + 1) % f.shape[1]
    gradient_of = (graph.minibatch_gradient_to_leave if leave
                   else graph.minibatch_gradient_to_reach)
    found, g = gradient_of(x, label)
    np.testing.assert_allclose(found, f, rtol=1e-5, atol=1e-5)
    expected, counted = np.zeros(x.shape[1:]), 0
    for each, k, f_x in zip(x, label, f):
        margin = np.log(np.exp(np.delete(f_x, k).astype(np.float64)).sum()) - f_x[k]
        if (margin if leave else -margin) < BETA:
            gradient = (graph.loss_gradient_to_leave(each, k)[1] if f_x.argmax() == k
                        else -graph.loss_gradient_to_reach(each, k)[1])
            expected += gradient if leave else -gradient
            counted += 1
    assert 0 < counted < len(x)
    np.testing.assert_allclose(g, expected / len(x), rtol=1e-4, atol=1e-5 * np.abs(expected).max())
