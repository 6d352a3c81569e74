"""The number of images read off a curve, where it can be found by hand."""

import pytest

from utils.report.cost import images_needed


@pytest.mark.parametrize("shown, rates, level, expected", [
    ([10, 1000], [0.2, 0.6], 0.4, (100, False)),  # straight over the logarithm
    ([10, 100, 1000], [0, 0.5, 1.0], 0.75, (10 ** 2.5, False)),
    ([10, 100, 200, 300], [0.1, 0.5, 0.2, 0.8], 0.3, (10 ** 1.5, False)),  # it falls again
    ([10, 20, 50], [0.1, 0.3, 0.5], 0.3, (20, False)),
    ([10, 20], [0.5, 0.6], 0.4, (10, True)),  # fewer may do
    ([10, 20], [0.5, 0.6], 0.7, (None, False)), ([], [], 0.7, (None, False))])
def test_a_rate_is_reached_where_the_curve_first_meets_it(shown, rates, level, expected):
    needed, at_most = images_needed(shown, rates, level)
    assert (needed and pytest.approx(needed), at_most) == expected
