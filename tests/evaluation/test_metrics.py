"""Rates, intervals, tests and points on a curve against textbook formulas and published values."""

import numpy as np
import pytest
from scipy import stats

from utils.evaluation import metrics
from utils.report.numbers import images_needed


# Newcombe: Two-sided confidence intervals for the single proportion, Statistics in Medicine 1998,
# table I, method 3.
@pytest.mark.parametrize("count, total, low, high", [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_the_interval_agrees_with_published_ones(count, total, low, high):
    rate = metrics.rate(np.arange(total) < count)
    assert (rate.value, rate.count, rate.total) == (count / total, count, total)
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-5)


def test_no_images_have_no_rate():
    for rate in (metrics.rate([]), metrics.fooling_rate([], []), metrics.accuracy([], []),
                 metrics.targeted_success_rate([], [], 0),
                 metrics.targeted_success_rate([1, 1], [1, 0], 1)):  # all are the target anyway
        assert np.isnan(rate[:3]).all() and rate[3:] == (0, 0)
    assert metrics.mcnemar_p([], []) == 1


def test_the_fooling_rate_counts_changed_predictions_whatever_the_true_class():
    rate = metrics.fooling_rate(clean=[0, 0, 1, 2, 2], attacked=[0, 1, 0, 2, 0])
    assert (rate.count, rate.total, rate.value) == (3, 5, 0.6)


@pytest.mark.parametrize("target, success", [  # class 0 is a target like any other
    (0, (1, 4)), (1, (1, 4)), (2, (0, 4)), (3, (0, 6))])
def test_targeted_success_leaves_out_the_images_predicted_as_the_target_anyway(target, success):
    rate = metrics.targeted_success_rate([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 2, 2], target)
    assert (rate.count, rate.total) == success


@pytest.mark.parametrize("only_attack, only_control", [
    (0, 0), (1, 0), (0, 6), (6, 0), (5, 5), (4, 5), (12, 3), (40, 71)])
def test_mcnemar_is_twice_the_binomial_tail(only_attack, only_control):
    n = only_attack + only_control
    tail = stats.binom(n, 0.5).pmf(np.arange(min(only_attack, only_control) + 1)).sum()
    # then 7 images fooled by both and 9 by neither, which must not matter
    attacked = np.r_[np.ones(only_attack), np.zeros(only_control), np.ones(7), np.zeros(9)]
    control = np.r_[np.zeros(only_attack), np.ones(only_control), np.ones(7), np.zeros(9)]
    assert metrics.mcnemar_p(attacked > 0, control > 0) == pytest.approx(min(1, 2 * tail), rel=1e-9)


def test_accuracy_is_the_share_of_equal_classes():
    assert metrics.accuracy([0, 0, 0, 0, 1, 3], [0, 0, 1, 2, 1, 0])[3:] == (3, 6)


def test_a_family_is_rejected_by_holm_as_step_by_step():
    """Against the procedure as Holm states it: go on rejecting while p <= alpha / (m - k)."""
    random = np.random.RandomState(0)
    for _ in range(200):
        p = random.uniform(0, 0.05, 5)
        rejected = set()
        for k, i in enumerate(np.argsort(p)):
            if p[i] > 0.05 / (5 - k):
                break
            rejected.add(i)
        assert {i for i, c in enumerate(metrics.holm(list(p))) if c <= 0.05} == rejected
    assert metrics.holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert metrics.holm([0.6, 0.9]) == [1, 1] and metrics.holm([]) == []


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
