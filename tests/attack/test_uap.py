"""The UAP loop against Algorithm 1 written again without batches, memory or haste."""

import json
import types

import numpy as np
import pytest

from utils.attack.attacks import attack_events
from utils.attack.events import ImagesChecked, ImagesShown, PassDone
from utils.attack.passes import IMAGES_HELD
from utils.attack.settings import AttackSettings
from utils.attack.state import first_state, from_checkpoint, to_checkpoint

STEP_SIZE = 0.1  # of the sign step; large, so that it changes labels of the toy
BATCH = 7        # of sgd
XI = {2: 0.9, np.inf: 0.15}


def start(classifier, images, attack="deepfool", p=np.inf, target=None, state=None, asked=None,
          passes=3, seed=0, enough=None, step_size=None):
    """The state and the attack of make_uap.py over `images` (None: unreadable).

    asked: list that receives every batch that the classifier is asked to label.
    """
    def read(indices):
        return iter([images[i] for i in indices])

    def logits(batch):
        if asked is not None:
            asked.append(batch)
        return classifier.logits(batch)

    graph = types.SimpleNamespace(logits=logits, **{
        name: getattr(classifier, name) for name in dir(classifier) if "_to_" in name})
    state = state or first_state(classifier.shape, len(images))
    settings = AttackSettings(
        attack=attack, norm=p, passes=passes, seed=seed, target_fooling_rate=enough,
        batch_size=BATCH, step_size=STEP_SIZE if attack == "fgsm" else step_size)
    return state, attack_events(settings, graph, state, read, target, XI[p])


def run(*words, **settings):
    state, events = start(*words, **settings)
    return state, [visit for event in events if isinstance(event, ImagesShown)
                   for visit in event.visits]


def projected(v, p, xi):
    return np.clip(v, -xi, xi) if p == np.inf else v * min(1, xi / np.sqrt((v ** 2).sum()))


def plain_step(classifier, x, attack, label, target, max_iter=10, points=None):
    """One image's step in float64 by the papers' formulas: (dv, path).

    points: list that receives (point, f, g) of every label check of DeepFool.
    """
    if attack == "fgsm":
        f, g = classifier.f(x), classifier.gradients(x)
        wanted = label if target is None else target
        p = np.exp(f) / np.exp(f).sum()
        ascent = np.sign(sum(p[k] * g[k] for k in range(len(f))) - g[wanted])
        return STEP_SIZE * (ascent if target is None else -ascent), [wanted]
    r, path = np.zeros(x.shape), []
    while len(path) < max_iter:
        f, g = classifier.f(x + 1.02 * r), classifier.gradients(x + 1.02 * r)
        if points is not None:
            points.append((x + 1.02 * r, f, g))
        top = int(np.argmax(f))
        if top == target or (target is None and top != label):
            break
        steps = {k: ((f[top] - f[k]) / np.linalg.norm(g[k] - g[top]), k) for k in range(len(f))
                 if k != top and target in (None, k)}
        distance, l = min(steps.values())
        r = r + distance * (g[l] - g[top]) / np.linalg.norm(g[l] - g[top])
        path.append(l)
    return 1.02 * r, path


def plain_algorithm(classifier, images, attack="deepfool", p=np.inf, target=None, passes=3,
                    enough=None, seed=0, xi=None, max_iter=10, trace=None):
    """Algorithm 1, one image at a time, everything computed again: (v, visits, rates).

    trace: list that receives, of each visit, x, x + v, the points of plain_step, dv, the new v.
    """
    def is_fooled(x, v):
        under_v = classifier.top(x + v)
        return under_v != classifier.top(x) if target is None else under_v == target

    xi = xi or XI[p]
    v, visits, rates = np.zeros(classifier.shape), [], []
    for number in range(passes):
        if number and enough is not None:
            counted = [is_fooled(x, v) for x in images
                       if x is not None and classifier.top(x) != target]
            rates.append(np.mean(counted) if counted else None)
            if not counted or rates[-1] >= enough:
                break
        for i in np.random.RandomState([seed, number]).permutation(len(images)):
            if images[i] is None:
                continue
            x, under_v, path = images[i].astype(np.float64), classifier.top(images[i] + v), []
            kept, shown, points, dv = False, x + v, [], np.zeros(x.shape)
            if not is_fooled(x, v):
                dv, path = plain_step(classifier, shown, attack, classifier.top(x), target,
                                      max_iter, points)
                kept = is_fooled(x, v + dv)
                if kept:
                    v = projected(v + dv, p, xi)
            visits.append((len(visits) + 1, number + 1, i, classifier.top(x), under_v, path, kept))
            if trace is not None:
                trace.append((x, shown, points, dv, v))
    return v, visits, rates


def assert_same_run(classifier, images, **settings):
    """Both versions make the same visits, rates and v. Returns the product's state and visits."""
    state, visits = run(classifier, images, **settings)
    v, plain_visits, rates = plain_algorithm(classifier, images, **settings)
    assert [tuple(visit) for visit in visits] == plain_visits
    assert len(state.rates) == len(rates)
    for found, expected in zip(state.rates, rates):
        assert found == (expected if expected is None else pytest.approx(expected, abs=1e-12))
    np.testing.assert_allclose(state.v, v, rtol=0, atol=1e-6)
    assert state.visits == len(visits) and state.updates == sum(t[-1] for t in visits)
    assert state.steps == sum(bool(t.path) for t in visits)
    return state, visits


# In a corner where three classes meet, a targeted step depends on the last bit of float32, and the
# two versions part; that happens to an image of seed 1.
@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("hidden", [None, 10])
@pytest.mark.parametrize("attack", ["deepfool", "fgsm"])
@pytest.mark.parametrize("target", [None, 0, 2])
@pytest.mark.parametrize("p", [2, np.inf])
def test_the_loop_is_algorithm_1(toy, p, target, attack, hidden, seed):
    classifier = toy(seed, hidden=hidden)
    images = list(classifier.images(2 * IMAGES_HELD + 7))
    state, visits = assert_same_run(classifier, images, attack=attack, p=p, target=target,
                                    seed=seed, enough=1.0)
    assert 0 < state.updates < len(visits) == 3 * len(images)
    if attack == "fgsm" and hidden and seed == 0:  # steps that change no label, and are dropped
        assert sum(bool(visit.path) and not visit.kept for visit in visits) > 2


@pytest.mark.parametrize("target", [None, 0])
@pytest.mark.parametrize("attack", ["deepfool", "fgsm"])
def test_unreadable_images_are_passed_over_as_if_the_order_did_not_hold_them(toy, attack, target):
    classifier = toy(0, hidden=10)
    images = list(classifier.images(3 * IMAGES_HELD + 1))
    order = np.random.RandomState([0, 0]).permutation(len(images))
    whole_block = order[IMAGES_HELD:2 * IMAGES_HELD]
    for i in [order[0], order[5], *whole_block, order[-1]]:
        images[i] = None
    state, visits = assert_same_run(classifier, images, attack=attack, target=target, enough=1.0)
    readable = {i for i, x in enumerate(images) if x is not None}
    assert {visit.image_index for visit in visits} == readable
    assert state.updates > 0


@pytest.mark.parametrize("attack", ["deepfool", "sgd"])
def test_without_a_readable_image_nothing_is_visited_and_v_stays_zero(toy, attack):
    state, visits = run(toy(0), [None] * 3, attack=attack, passes=1)
    assert visits == [] and not state.v.any() and state.passes_completed == 1


@pytest.mark.parametrize("target", [None, 0])
def test_one_image_is_enough(toy, target):
    classifier = toy(1, hidden=10)
    state, visits = assert_same_run(classifier, [classifier.image_of(2)], target=target, p=2,
                                    enough=1.0)
    assert visits[0].path and visits[0].kept and state.rates == [1]


@pytest.mark.parametrize("target", [0, 2])
def test_when_all_images_are_the_target_from_the_start_v_stays_zero(toy, target):
    classifier = toy(2)
    images = [x for x in classifier.images(400) if classifier.top(x) == target]
    assert len(images) > IMAGES_HELD
    state, visits = assert_same_run(classifier, images, target=target, enough=1.0)
    assert not state.v.any() and state.updates == 0
    assert state.rates == [None] and len(visits) == len(images)


def test_v_changes_where_a_visit_says_so_and_nowhere_else(toy):
    classifier = toy(0, hidden=10)
    state, events = start(classifier, list(classifier.images(3 * IMAGES_HELD)), passes=1)
    changes, before = set(), state.v.copy()
    for event in events:
        kept = isinstance(event, ImagesShown) and event.visits[-1].kept
        changes.add(kept)
        assert np.array_equal(state.v, before) != kept
        before = state.v.copy()
    assert changes == {True, False}


def test_while_v_fools_image_after_image_more_and_more_are_predicted_in_one_batch(toy):
    classifier, asked = toy(0, classes=2), []
    fooled = [classifier.image_of(0) for _ in range(2 * IMAGES_HELD)]
    state = first_state(classifier.shape, len(fooled))
    state.v += 10 * (classifier.gradients(None)[1] - classifier.gradients(None)[0])
    run(classifier, fooled, state=state, asked=asked, passes=1)
    # the clean images that are held, and those under v: 1 (by the step's own look), 2, 4 ...
    assert [len(batch) for batch in asked] == [32, 2, 4, 8, 16, 1, 32, 32]


def test_images_that_are_the_target_already_do_not_count_for_the_rate(toy):
    classifier = toy(0)
    images, target = list(classifier.images(50)), 1
    state, _ = run(classifier, images, target=target, passes=2, enough=1.0)
    _, at_the_end = run(classifier, images, target=target, passes=1)
    others = [x for x in images if classifier.top(x) != target]
    assert 0 < len(others) < len(images) and len(at_the_end) == len(images)
    v = run(classifier, images, target=target, passes=1)[0].v
    assert state.rates == [np.mean([classifier.top(x + v) == target for x in others])]
    assert state.rates != [np.mean([classifier.top(x + v) == target for x in images])]


def test_all_images_are_looked_at_again_only_where_the_rate_decides_about_another_pass(toy):
    classifier = toy(0)
    images = list(classifier.images(3 * IMAGES_HELD - 1))

    def others(enough):
        _, events = start(classifier, images, passes=2, enough=enough)
        return [event for event in events if not isinstance(event, ImagesShown)]

    assert others(None) == [PassDone(1, None), PassDone(2, None)]
    *checks, first, second = others(1.0)
    assert checks == [ImagesChecked(IMAGES_HELD), ImagesChecked(2 * IMAGES_HELD),
                      ImagesChecked(3 * IMAGES_HELD - 1)]
    assert first.number == 1 and 0 < first.rate < 1 and second == PassDone(2, None)


def by_checkpoint(state):
    """What makes a state again, from what a checkpoint file holds: JSON and arrays."""
    values, arrays = to_checkpoint(state)
    text, arrays = json.dumps(values), [array.copy() for array in arrays]
    return lambda: from_checkpoint(state, json.loads(text), [array.copy() for array in arrays])


@pytest.mark.parametrize("attack, p, target", [
    ("deepfool", np.inf, None), ("deepfool", 2, 0), ("fgsm", np.inf, 2), ("fgsm", 2, None),
    ("sgd", np.inf, None), ("sgd", 2, 0)])
def test_a_run_resumed_from_any_state_is_bit_for_bit_the_uninterrupted_run(toy, attack, p, target):
    classifier = toy(1, hidden=10)
    images = list(classifier.images(IMAGES_HELD + 9))
    order = np.random.RandomState([3, 0]).permutation(len(images))
    for i in [3, *order[2 * BATCH:3 * BATCH], *order[-4:]]:
        images[i] = None
    settings = dict(attack=attack, p=p, target=target, passes=2, seed=3, enough=1.0)
    asked, visited, checkpoints = [], [], []
    whole, events = start(classifier, images, asked=asked, **settings)
    for event in events:
        visited += event.visits if isinstance(event, ImagesShown) else []
        checkpoints.append((by_checkpoint(whole), len(visited), len(asked)))
    assert len(checkpoints) > 10 and whole.passes_completed == 2

    for restored, visits_before, questions_before in checkpoints:
        questions = []
        state, visits = run(classifier, images, state=restored(), asked=questions, **settings)
        assert visits == visited[visits_before:]
        assert [batch.tobytes() for batch in questions] == [
            batch.tobytes() for batch in asked[questions_before:]]
        assert to_checkpoint(state)[0] == to_checkpoint(whole)[0]
        assert state.v.tobytes() == whole.v.tobytes() and (state.clean == whole.clean).all()
