"""Norms, projections and random perturbations against their definitions."""

import numpy as np
import pytest
from scipy import optimize

from utils.attack.norms import is_grey, mean_norm, norm, permuted, project, random_of_norm

SHAPE = (5, 4, 3)
NORMS = [2, np.inf]


def random_array(seed, size):
    return (size * np.random.RandomState(seed).normal(size=SHAPE)).astype(np.float32)


def definition(array, p):
    values = [abs(float(value)) for value in np.ravel(array)]
    return max(values) if p == np.inf else sum(value ** 2 for value in values) ** 0.5


@pytest.mark.parametrize("p", NORMS)
def test_a_norm_runs_over_all_pixels_and_channels(p):
    array = random_array(0, 1)
    assert norm(array, p) == pytest.approx(definition(array, p), rel=1e-12)


def test_the_norm_of_8_bit_pixels_does_not_overflow():
    pixels = np.full(SHAPE, 255, np.uint8)
    assert norm(pixels, 2) == pytest.approx(255 * pixels.size ** 0.5)
    assert norm(pixels, np.inf) == 255


def test_the_mean_norm_counts_every_channel_of_every_image():
    images = np.zeros((3,) + SHAPE, np.uint8)
    images[1, ..., 2] = 200  # only blue
    images[2] = 10
    assert mean_norm(images, np.inf) == pytest.approx((0 + 200 + 10) / 3)
    assert mean_norm(images, 2) == pytest.approx((0 + 200 * 20 ** 0.5 + 10 * 60 ** 0.5) / 3)


@pytest.mark.parametrize("p", NORMS)
def test_projection_leaves_a_point_of_the_ball_alone(p):
    v = random_array(1, 1)
    np.testing.assert_array_equal(project(v, p, definition(v, p) * 1.001), v)
    np.testing.assert_array_equal(project(np.zeros(SHAPE), p, 0.5), np.zeros(SHAPE))


@pytest.mark.parametrize("p", NORMS)
def test_projection_puts_a_point_outside_onto_the_ball_and_repeats_itself(p):
    for seed in range(20):
        v = project(random_array(seed, 1), p, 0.3)
        assert v.dtype == np.float32
        assert definition(v, p) == pytest.approx(0.3, rel=1e-6)
        np.testing.assert_allclose(project(v, p, 0.3), v, rtol=2e-7)


@pytest.mark.parametrize("p", NORMS)
def test_no_point_of_the_ball_is_nearer_than_the_projection(p):
    random = np.random.RandomState(2)
    v = random_array(3, 1)
    nearest = project(v, p, 0.3)
    distance = np.linalg.norm(v - nearest)
    for _ in range(300):
        u = random.normal(size=SHAPE)
        u *= 0.3 * random.uniform() / definition(u, p)            # anywhere in the ball
        beside = nearest + 0.05 * (u - nearest)                   # in the ball, near the answer
        assert np.linalg.norm(v - u) > distance
        assert np.linalg.norm(v - beside) > distance


@pytest.mark.parametrize("p", NORMS)
def test_projection_is_the_answer_of_a_general_optimiser(p):
    v = random_array(4, 1).ravel()[:6]
    limits = ({"bounds": [(-0.3, 0.3)] * 6} if p == np.inf else
              {"constraints": {"type": "ineq", "fun": lambda u: 0.3 ** 2 - (u ** 2).sum()}})
    found = optimize.minimize(lambda u: ((u - v) ** 2).sum(), np.full(6, 0.01), method="SLSQP",
                              options={"ftol": 1e-14}, **limits)
    assert found.success
    np.testing.assert_allclose(project(v, p, 0.3), found.x, atol=1e-5)


def test_another_norm_is_refused():
    with pytest.raises(ValueError):
        project(np.ones(SHAPE), 1, 0.5)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("size", [0.04, 7])
def test_a_random_perturbation_has_the_norm_asked_for(p, size):
    for seed in range(5):
        r = random_of_norm((20, 20, 3), p, size, seed)
        assert r.dtype == np.float32 and r.shape == (20, 20, 3)
        assert definition(r, p) == pytest.approx(size, rel=1e-6)


@pytest.mark.parametrize("p, quartile", [(2, 0.6745), (np.inf, 0.5)])
def test_a_random_perturbation_is_normal_for_p_2_and_uniform_for_p_infinity(p, quartile):
    r = random_of_norm((60, 60, 3), p, 1, 0)
    scale = r.std() if p == 2 else 1
    assert np.mean(np.abs(r) < quartile * scale) == pytest.approx(0.5, abs=0.02)
    assert np.mean(r > 0) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("p", NORMS)
def test_a_random_perturbation_depends_on_the_seed_and_on_nothing_else(p):
    first = random_of_norm(SHAPE, p, 1, 0)
    np.random.seed(12345)
    np.testing.assert_array_equal(random_of_norm(SHAPE, p, 1, 0), first)
    assert (random_of_norm(SHAPE, p, 1, 1) != first).any()


def test_permuting_keeps_the_values_and_every_norm():
    v = random_array(5, 1)
    before = v.copy()
    shuffled = permuted(v, 0)
    np.testing.assert_array_equal(v, before)
    assert shuffled.shape == v.shape and shuffled.dtype == v.dtype
    np.testing.assert_array_equal(np.sort(shuffled.ravel()), np.sort(v.ravel()))
    for p in NORMS:
        assert definition(shuffled, p) == pytest.approx(definition(v, p), rel=1e-12)


def test_permuting_moves_values_between_pixels_and_channels_as_the_seed_says():
    v = np.zeros((10, 10, 3), np.float32)
    v[..., 0] = 1
    shuffled = permuted(v, 0)
    per_channel = shuffled.sum(axis=(0, 1))
    assert (per_channel > 15).all() and (shuffled.sum(axis=2) > 1).any()
    np.testing.assert_array_equal(permuted(v, 0), shuffled)
    assert (permuted(v, 1) != shuffled).any()


@pytest.mark.parametrize("p", NORMS)
def test_the_controls_of_a_grey_perturbation_are_grey(p):
    v = np.repeat(random_array(6, 1)[..., :1], 3, axis=2)
    assert is_grey(v) and not is_grey(random_array(6, 1))
    random = random_of_norm(v.shape, p, 0.3, 0, grey=True)
    shuffled = permuted(v, 0)
    assert is_grey(random) and is_grey(shuffled)
    assert definition(random, p) == pytest.approx(0.3, rel=1e-6)
    np.testing.assert_array_equal(np.sort(shuffled[..., 0].ravel()), np.sort(v[..., 0].ravel()))
    assert (shuffled != v).any()
