"""The attack without images: its gradient, and its climbs."""

import numpy as np
import pytest
from test_attack_graph import images
from test_uap import by_checkpoint, projected

from utils.attack import attacks, gd_uap
from utils.attack.events import Iterated, PassDone
from utils.attack.gradients.graph import activation_energy
from utils.attack.settings import AttackSettings
from utils.classifier import architectures, backbone
from utils.classifier.frameworks import K, keras
from utils.classifier.session import start_session
from utils.images.norms import norm, random_of_norm

SHAPE = (3, 4, 3)
XI = 0.08


def wave(seed):
    """An objective that climbs to the corner of the box, by a bumpy way: function (v) -> (J, g)."""
    w, phase = np.random.RandomState(seed).normal(size=(2,) + SHAPE)
    return lambda v: ((w * v + 0.01 * np.sin(9 * v / XI + phase)).sum(),
                      w + 0.09 / XI * np.cos(9 * v / XI + phase))


def run(p, gradient, state=None):
    """The product's climbs to their end: (its state, the events)."""
    state = state or gd_uap.first_climb_state(random_of_norm(SHAPE, p, XI, 0))
    return state, list(gd_uap.data_free(state, gradient, p, XI))


def plain_version(gradient, p):
    """The climbs again, in float64, all iterations kept: (best v, objectives, iterations)."""
    v, looks, count, share, halve = random_of_norm(SHAPE, p, XI, 0).astype(np.float64), [], 0, 0, 0
    mean, square, in_climb = np.zeros(SHAPE), np.zeros(SHAPE), 0
    while len(looks) < 10:
        v = v / 2 if halve else v
        objective, g = gradient(v)
        share, before = np.mean(np.abs(v) > XI * (1 - 1e-7)), share
        halve = in_climb and share > 0.5 and share == before
        if halve or in_climb == 400:
            looks.append((objective, v.tolist()))
            in_climb = 0
            continue
        count, in_climb = count + 1, in_climb + 1
        mean, square = 0.9 * mean + 0.1 * g, 0.999 * square + 0.001 * g ** 2
        v = v + 0.01 * XI * mean / (1 - 0.9 ** count) / (
            np.sqrt(square / (1 - 0.999 ** count)) + 1e-8)
        v = projected(v, p, XI)
    return np.array(max(looks)[1]), [objective for objective, _ in looks], count


@pytest.mark.parametrize("p", [2, np.inf])
def test_the_climb_does_not_begin_at_the_random_control_of_the_same_seed(p):
    settings = AttackSettings(attack="gd-uap", norm=p, seed=3)
    start = attacks.beginning(settings, (8, 8, 3), 0, XI, grey=False).v
    control = random_of_norm(start.shape, p, XI, 3)
    assert abs(np.corrcoef(start.ravel(), control.ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("p", [2, np.inf])
def test_the_climbs_are_those_of_the_plain_version(p, seed):
    state, events = run(p, wave(seed))
    v, objectives, iterations = plain_version(wave(seed), p)
    np.testing.assert_allclose(state.objectives, objectives, rtol=1e-4)
    assert abs(state.steps - iterations) <= 0.02 * iterations
    np.testing.assert_allclose(state.v, v, rtol=0, atol=0.02 * XI)
    assert [event.number for event in events if isinstance(event, PassDone)] == list(
        range(1, len(objectives) + 1))
    assert sum(isinstance(event, Iterated) for event in events) == state.steps
    assert state.passes_completed == len(objectives) and norm(state.v, p) <= XI * (1 + 1e-6)


def test_the_first_v_of_the_highest_objective_is_kept():
    heights, looked_at = [1, 3, 2, 4, 4, 3, 1, 0, 0, 2], []
    state = gd_uap.first_climb_state(random_of_norm(SHAPE, 2, XI, 0))
    for event in gd_uap.data_free(
            state, lambda v: (heights[len(looked_at)], np.ones(SHAPE)), 2, XI):
        if isinstance(event, PassDone):
            looked_at.append(state.v)
    assert state.objectives == heights
    np.testing.assert_array_equal(state.v, looked_at[3])


def test_a_climb_that_was_too_long_is_not_looked_at_twice(monkeypatch):
    monkeypatch.setattr(gd_uap, "LONGEST", 30)  # in which more and more values reach the bound
    state, _ = run(np.inf, wave(0))
    assert len(set(state.objectives)) == 10 and state.steps == state.updates > 10 * 15


@pytest.mark.parametrize("p", [2, np.inf])
def test_a_run_resumed_from_any_state_is_bit_for_bit_the_uninterrupted_run(p):
    whole, kept = gd_uap.first_climb_state(random_of_norm(SHAPE, p, XI, 0)), []
    for event in gd_uap.data_free(whole, wave(1), p, XI):
        if isinstance(event, PassDone) or whole.steps % 97 == 0:
            kept.append(by_checkpoint(whole))
    assert len(kept) > 10
    for restored in kept:
        state, _ = run(p, wave(1), restored())
        assert state.v.tobytes() == whole.v.tobytes()
        assert (state.steps, state.objectives) == (whole.steps, whole.objectives)


def test_the_gradient_is_that_of_finite_differences(model):
    gradient, v, h = activation_energy(model), 0.3 * images(1)[0], 3e-3
    objective, g = gradient(v)
    rectified = keras.Model(model.input, model.layers[3].output).predict(v[np.newaxis])
    assert rectified.min() == 0
    assert objective == pytest.approx(np.log((rectified.astype(np.float64) ** 2).sum() / 2))
    for d in images(20, seed=5):
        d = d / norm(d, 2)
        slope = (np.float64(gradient(v + h * d)[0]) - gradient(v - h * d)[0]) / (2 * h)
        assert slope == pytest.approx((g * d).sum(), abs=0.02 * norm(g, 2))


@pytest.mark.parametrize("architecture, count", [("VGG16", 13), ("ResNet50", 49),
                                                 ("InceptionV3", 94)])
def test_every_convolution_of_the_studys_architectures_counts_where_it_is_rectified(
        architecture, count):
    start_session(0, inference=True)
    size = architectures.MIN_IMAGE_SIZE[architecture]
    network = architectures.build_classifier(architecture, size, num_classes=3)
    v = images(1, size)[0]
    objective, g = activation_energy(network)(v)
    outputs = [layer.output for layer in network.layers if layer.output.op.type == "Relu"]
    values = K.function([network.input], outputs)([v[np.newaxis]])
    assert len(values) == count
    expected = sum(np.log((value.astype(np.float64) ** 2).sum() / 2) for value in values)
    assert objective == pytest.approx(expected, rel=1e-5)
    assert g.shape == v.shape
    climbed, _ = activation_energy(network)(v + 0.01 * g / norm(g, 2))
    assert climbed - objective == pytest.approx(0.01 * norm(g, 2), rel=0.1)


def test_a_layer_that_is_silent_leaves_the_gradient_finite(model):
    first = next(layer for layer in model.layers if layer.get_weights())
    kernel, *rest = first.get_weights()
    first.set_weights([kernel * 0] + [0 * each - 1 for each in rest])
    objective, g = activation_energy(model)(images(1)[0])
    assert np.isfinite(objective) and np.isfinite(g).all()


@pytest.mark.parametrize("size", [32, 224])
def test_the_bound_without_training_images_is_that_of_natural_images(tmp_path, size):
    (tmp_path / "weights.h5").write_bytes(b"")
    norms = backbone.describe("VGG16", str(tmp_path / "weights.h5"), size).mean_norms
    assert norms["inf"] == 250 and norms["2"] == pytest.approx(5e4 * size / 224)
