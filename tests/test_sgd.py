"""The minibatch attack against a slow version in float64, closed forms, and itself resumed."""

import os
import signal
import time

import numpy as np
import pytest

import checkout
from test_attack_graph import images, model  # noqa: F401, a fixture
from test_resume import files
from test_uap import by_checkpoint
from utils.attack.graph import BETA, AttackGraph
from utils.attack.norms import norm
from utils.attack.sgd import FIRST_STEP, LAST_STEP, steepest, stochastic_gradient
from utils.attack.state import Shown, State

XI = {2: 0.9, np.inf: 0.15}
BATCH = 7


def start(classifier, pictures, p=np.inf, target=None, passes=1, seed=0, state=None, asked=None,
          **options):
    """The product's loop over `pictures` (None: unreadable), and its State.

    asked: list that receives every batch that the classifier is asked to label.
    """
    leave = target is None

    def gradient(x, label):
        f = classifier.logits(x)
        g = np.zeros(classifier.shape)
        for each, k in zip(x, label):
            others = np.delete(np.arange(f.shape[1]), k)
            f_x, slopes = classifier.f(each), classifier.gradients(each)
            weights = np.exp(f_x[others])
            m = np.log(weights.sum()) - f_x[k]
            if (m if leave else -m) < BETA:
                g += np.tensordot(weights / weights.sum(), slopes[others], 1) - slopes[k]
        return f, (g if leave else -g) / len(x)

    def logits(batch):
        if asked is not None:
            asked.append(len(batch))
        return classifier.logits(batch)

    state = state or State(classifier.shape, len(pictures))
    return state, stochastic_gradient(
        state, lambda indices: iter([pictures[i] for i in indices]), logits, gradient, p, XI[p],
        passes, seed, target=target, **dict({"batch_size": BATCH}, **options))


def run(*words, **options):
    state, loop = start(*words, **options)
    return state, [visit for event in loop if isinstance(event, Shown) for visit in event.visits]


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
            g = np.zeros(v.size)
            for j, e in enumerate(np.eye(v.size)):
                e = e.reshape(v.shape)
                g[j] = (loss(v + h * e, batch) - loss(v - h * e, batch)) / (2 * h)
            g = g.reshape(v.shape)
            done = (number * len(order) + begin) / (passes * len(order))
            length = xi * (FIRST_STEP * (1 - done) + LAST_STEP * done)
            v = v + length * (np.sign(g) if p == np.inf else g / np.sqrt((g ** 2).sum()))
            v = np.clip(v, -xi, xi) if p == np.inf else v * min(1, xi / np.sqrt((v ** 2).sum()))
            for i, x, k in zip(indices, batch, under_v):
                clean = classifier.top(x)
                wanted = k == target if target is not None else k != clean
                visits.append((len(visits) + 1, number + 1, i, clean, k,
                               [] if wanted else [clean if target is None else target], True))
    return v, visits


@pytest.mark.parametrize("number", [BATCH, 5 * BATCH - 2])
@pytest.mark.parametrize("hidden", [None, 10])
@pytest.mark.parametrize("target", [None, 0, 2])
@pytest.mark.parametrize("p", [2, np.inf])
def test_one_step_and_ten_are_those_of_the_algorithm(toy, p, target, hidden, number):
    classifier = toy(1, hidden=hidden)
    pictures, passes = list(classifier.images(number)), 1 if number == BATCH else 2
    state, visits = run(classifier, pictures, p=p, target=target, passes=passes)
    v, plain_visits = plain_version(classifier, pictures, p, target, passes)
    np.testing.assert_allclose(state.v, v, rtol=0, atol=1e-5 * XI[p])
    assert [tuple(visit) for visit in visits] == plain_visits
    assert state.steps == state.updates == (1 if passes == 1 else 10)
    assert state.v.any() and norm(state.v, p) <= XI[p] * (1 + 1e-6)


@pytest.mark.parametrize("p", [2, np.inf])
@pytest.mark.parametrize("target", [None, 1])
def test_on_two_linear_classes_v_ends_where_the_ball_reaches_farthest(toy, target, p):
    classifier = toy(2, classes=2)
    pictures = [x for x in classifier.images(300) if target == 1 or classifier.top(x) == 0]
    state, _ = run(classifier, pictures, p=p, target=target)
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
def test_steps_fall_in_a_straight_line_or_have_the_length_asked_for(toy, p):
    classifier = toy(0, classes=2)
    pictures = [classifier.image_of(0) for _ in range(4 * BATCH)]

    def lengths(**options):
        state, loop = start(classifier, pictures, p=p, **options)
        before, found = state.v.copy(), []
        for event in loop:
            if isinstance(event, Shown):
                found.append(norm(state.v - before, p))
                before = state.v.copy()
        return np.array(found)

    expected = XI[p] * (FIRST_STEP + (LAST_STEP - FIRST_STEP) * np.arange(4) / 4)
    np.testing.assert_allclose(lengths(), expected, rtol=1e-4)
    np.testing.assert_allclose(lengths(step_size=0.01), 0.01, rtol=1e-4)


def test_clean_images_are_predicted_once_and_not_again_in_the_second_pass(toy):
    classifier, asked = toy(0), []
    pictures = list(classifier.images(3 * BATCH + 2))
    run(classifier, pictures, passes=2, asked=asked)
    assert asked == [BATCH] * 3 + [2]


def test_all_images_are_looked_at_again_where_a_rate_decides_about_another_pass(toy):
    classifier = toy(0, hidden=10)
    pictures = list(classifier.images(40))
    whole, _ = run(classifier, pictures, passes=3, goal=1.0)
    fooled = [classifier.top(x + whole.v) != classifier.top(x) for x in pictures]
    assert whole.pass_number == 3 and len(whole.rates) == 2 and 0 < np.mean(fooled) < 1
    stopped, visits = run(classifier, pictures, passes=3, goal=whole.rates[0])
    assert stopped.pass_number == 1 and len(visits) == len(pictures)


def test_unreadable_images_are_left_out_of_their_minibatch(toy):
    classifier = toy(0, hidden=10)
    pictures = list(classifier.images(6 * BATCH))
    order = np.random.RandomState([0, 0]).permutation(len(pictures))
    for i in [order[0], order[2 * BATCH - 1], *order[3 * BATCH:4 * BATCH]]:
        pictures[i] = None
    state, visits = run(classifier, pictures)
    v, plain_visits = plain_version(classifier, pictures, np.inf, None, 1)
    np.testing.assert_allclose(state.v, v, rtol=0, atol=1e-6)
    assert [tuple(visit) for visit in visits] == plain_visits
    assert state.steps == 5 and len(visits) == 5 * BATCH - 2
    assert not run(classifier, [None] * 3)[0].v.any()


@pytest.mark.parametrize("p, target", [(np.inf, None), (np.inf, 2), (2, None), (2, 0)])
def test_a_run_resumed_from_any_state_is_bit_for_bit_the_uninterrupted_run(toy, p, target):
    classifier = toy(1, hidden=10)
    pictures = list(classifier.images(5 * BATCH + 3))
    pictures[3] = pictures[30] = None
    settings = dict(p=p, target=target, passes=2, seed=3, goal=1.0)
    whole, loop = start(classifier, pictures, **settings)
    visited, kept = [], []
    for event in loop:
        visited += event.visits if isinstance(event, Shown) else []
        kept.append((by_checkpoint(whole), len(visited)))
    assert len(kept) > 12 and whole.pass_number == 2
    for restored, before in kept:
        state, visits = run(classifier, pictures, state=restored(), **settings)
        assert visits == visited[before:]
        assert state.v.tobytes() == whole.v.tobytes() and state.rates == whole.rates
        assert vars(state).keys() == vars(whole).keys()
        assert (state.visits, state.steps) == (whole.visits, whole.steps)


@pytest.mark.parametrize("leave", [True, False])
def test_the_gradient_of_a_minibatch_is_the_mean_of_its_images(model, leave):  # noqa: F811
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


def test_the_gradient_of_a_minibatch_is_grey_for_a_model_of_grey_images(model):  # noqa: F811
    x, label = images(5), np.array([0, 1, 2, 3, 0])
    of_colours = AttackGraph(model).minibatch_gradient_to_leave(x, label)[1]
    g = AttackGraph(model, grey=True).minibatch_gradient_to_leave(x, label)[1]
    np.testing.assert_allclose(g, np.repeat(of_colours.mean(axis=-1, keepdims=True), 3, -1),
                               rtol=1e-4, atol=1e-6)


def test_a_script_killed_between_two_minibatches_ends_with_the_same_files(trained):
    words = ("make_uap.py", "--model-file", "models/VGG16.h5", "--source", "ilsvrc2012",
             "--attack", "sgd", "--batch-size", "4", "--passes", "10", "--checkpoint-seconds", "0.000001")
    assert checkout.script(trained, *words)[0] == 0
    process = checkout.fork_server().start(trained, words + ("--results-dir", "killed"))
    name = "ilsvrc2012-sgd-passes-10-batch-4"
    while not os.path.exists(os.path.join(
            trained, "killed", "VGG16", "." + name + ".partial", "checkpoint.npz")):
        time.sleep(0.001)
    os.kill(process, signal.SIGKILL)
    assert checkout.fork_server().wait()[0] == -signal.SIGKILL
    code, output, errors = checkout.script(trained, *words, "--results-dir", "killed")
    assert code == 0 and "continuing after" in output, errors
    whole, killed = (files(os.path.join(trained, results, "VGG16", name))
                     for results in ("results", "killed"))
    assert killed == whole and "snapshots/pass_010.npy" in whole
