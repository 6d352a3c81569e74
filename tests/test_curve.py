"""The number of images read off a curve, where it can be found by hand."""

import pytest

from utils.report.cost import images_needed


def test_between_two_measurements_the_curve_is_straight_over_the_logarithm():
    assert images_needed([10, 1000], [0.2, 0.6], 0.4).images == pytest.approx(100)
    assert images_needed([10, 100, 1000], [0, 0.5, 1.0], 0.75).images == pytest.approx(10 ** 2.5)


def test_the_first_time_counts_when_a_curve_falls_again():
    assert images_needed([10, 100, 200, 300], [0.1, 0.5, 0.2, 0.8], 0.3).images == pytest.approx(
        10 ** 1.5)


def test_a_rate_met_exactly_is_reached_there():
    assert images_needed([10, 20, 50], [0.1, 0.3, 0.5], 0.3) == (pytest.approx(20), False)


def test_a_rate_reached_at_the_first_measurement_may_need_fewer_images():
    assert images_needed([10, 20], [0.5, 0.6], 0.4) == (10, True)


def test_a_rate_above_the_curve_is_not_reached():
    assert images_needed([10, 20], [0.5, 0.6], 0.7) == (None, False)
    assert images_needed([], [], 0.7) == (None, False)
