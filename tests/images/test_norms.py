"""Norms, projections and random perturbations against their definitions."""

import numpy as np
import pytest

from utils.images.norms import is_grey, mean_norm, norm, permuted, project, random_of_norm

SHAPE = (5, 4, 3)
for_both_norms = pytest.mark.parametrize("p", [2, np.inf])


def random_array(seed):
    return np.random.RandomState(seed).normal(size=SHAPE).astype(np.float32)


def definition(array, p):
    values = [abs(float(value)) for value in np.ravel(array)]
    return max(values) if p == np.inf else sum(value ** 2 for value in values) ** 0.5


@for_both_norms
@pytest.mark.parametrize("array", [random_array(0), np.full(SHAPE, 255, np.uint8)])
def test_a_norm_runs_over_all_pixels_and_channels_and_does_not_overflow(p, array):
    assert norm(array, p) == pytest.approx(definition(array, p), rel=1e-12)


def test_the_mean_norm_counts_every_channel_of_every_image():
    images = np.zeros((3,) + SHAPE, np.uint8)
    images[1, ..., 2] = 200  # only blue
    images[2] = 10
    assert mean_norm(images, np.inf) == pytest.approx((0 + 200 + 10) / 3)
    assert mean_norm(images, 2) == pytest.approx((0 + 200 * 20 ** 0.5 + 10 * 60 ** 0.5) / 3)


@for_both_norms
def test_projection_leaves_a_point_of_the_ball_alone(p):
    v = random_array(1)
    np.testing.assert_array_equal(project(v, p, definition(v, p) * 1.001), v)
    np.testing.assert_array_equal(project(np.zeros(SHAPE), p, 0.5), np.zeros(SHAPE))


@for_both_norms
def test_projection_puts_a_point_outside_onto_the_ball_and_repeats_itself(p):
    for seed in range(20):
        v = project(random_array(seed), p, 0.3)
        assert v.dtype == np.float32
        assert definition(v, p) == pytest.approx(0.3, rel=1e-6)
        np.testing.assert_allclose(project(v, p, 0.3), v, rtol=2e-7)


@for_both_norms
@pytest.mark.parametrize("size", [0.04, 7])
def test_a_random_perturbation_has_the_norm_asked_for_and_depends_on_nothing_but_the_seed(p, size):
    found = []
    for seed in range(5):
        np.random.seed(seed + 12345)
        found.append(random_of_norm(SHAPE, p, size, seed))
        assert found[-1].dtype == np.float32 and found[-1].shape == SHAPE
        assert definition(found[-1], p) == pytest.approx(size, rel=1e-6)
    np.testing.assert_array_equal(random_of_norm(SHAPE, p, size, 0), found[0])
    assert (found[0] != found[1]).any()


@pytest.mark.parametrize("p, quartile", [(2, 0.6745), (np.inf, 0.5)])
def test_a_random_perturbation_is_normal_for_p_2_and_uniform_for_p_infinity(p, quartile):
    r = random_of_norm((60, 60, 3), p, 1, 0)
    scale = r.std() if p == 2 else 1
    assert np.mean(np.abs(r) < quartile * scale) == pytest.approx(0.5, abs=0.02)
    assert np.mean(r > 0) == pytest.approx(0.5, abs=0.02)


def test_permuting_keeps_the_values_and_moves_them_between_pixels_and_channels_as_the_seed_says():
    v = random_array(5)
    v[..., 0] += 100
    before = v.copy()
    shuffled = permuted(v, 0)
    np.testing.assert_array_equal(v, before)
    assert shuffled.shape == v.shape and shuffled.dtype == v.dtype
    np.testing.assert_array_equal(np.sort(shuffled.ravel()), np.sort(v.ravel()))
    large = shuffled > 50
    assert large.sum(axis=(0, 1)).min() > 2 and large.sum(axis=2).max() > 1
    np.testing.assert_array_equal(permuted(v, 0), shuffled)
    assert (permuted(v, 1) != shuffled).any()


@for_both_norms
def test_the_controls_of_a_grey_perturbation_are_grey(p):
    v = np.repeat(random_array(6)[..., :1], 3, axis=2)
    assert is_grey(v) and not is_grey(random_array(6))
    random = random_of_norm(v.shape, p, 0.3, 0, grey=True)
    shuffled = permuted(v, 0)
    assert is_grey(random) and is_grey(shuffled)
    assert definition(random, p) == pytest.approx(0.3, rel=1e-6)
    np.testing.assert_array_equal(np.sort(shuffled[..., 0].ravel()), np.sort(v[..., 0].ravel()))
    assert (shuffled != v).any()
