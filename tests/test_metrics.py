"""Rates, intervals and tests against textbook formulas and published values."""

import numpy as np
import pytest
from scipy import stats

from utils import metrics

Z = 1.959963984540054  # the 97.5 % point of the normal distribution


def hits(count, total):
    return np.arange(total) < count


@pytest.mark.parametrize("count, total", [(0, 1), (1, 1), (3, 7), (50, 100), (2844, 3015)])
def test_the_interval_is_wilsons_formula(count, total):
    share = count / total
    middle = share + Z ** 2 / (2 * total)
    half = Z * (share * (1 - share) / total + Z ** 2 / (4 * total ** 2)) ** 0.5
    low, high = ((middle + sign * half) / (1 + Z ** 2 / total) for sign in (-1, 1))
    rate = metrics.rate(hits(count, total))
    assert (rate.value, rate.count, rate.total) == (share, count, total)
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=1e-9)


# Newcombe: Two-sided confidence intervals for the single proportion, Statistics in Medicine 1998,
# table I, method 3.
@pytest.mark.parametrize("count, total, low, high", [
    (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611), (1, 29, 0.0061, 0.1718)])
def test_the_interval_agrees_with_published_ones(count, total, low, high):
    rate = metrics.rate(hits(count, total))
    assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-5)


def test_no_images_have_no_rate():
    for rate in (metrics.rate([]), metrics.rate(metrics.fooled([], [])), metrics.accuracy([], []),
                 metrics.target_share([], 0), metrics.rate(metrics.reached([], [], 0))):
        assert np.isnan([rate.value, rate.low, rate.high]).all()
        assert (rate.count, rate.total) == (0, 0)
    assert metrics.mcnemar_p([], []) == 1


def test_the_fooling_rate_counts_changed_predictions_whatever_the_true_class():
    rate = metrics.rate(metrics.fooled(clean=[0, 0, 1, 2, 2], attacked=[0, 1, 0, 2, 0]))
    assert (rate.count, rate.total, rate.value) == (3, 5, 0.6)


@pytest.mark.parametrize("target, success, share", [
    (0, (1, 4), (2, 6)),   # class 0 is a target like any other
    (1, (1, 4), (2, 6)),
    (2, (0, 4), (2, 6)),
    (3, (0, 6), (0, 6))])
def test_targeted_success_leaves_out_the_images_predicted_as_the_target_anyway(
        target, success, share):
    clean = [0, 0, 1, 1, 2, 2]
    attacked = [0, 1, 0, 1, 2, 2]
    rate = metrics.rate(metrics.reached(clean, attacked, target))
    assert (rate.count, rate.total) == success
    rate = metrics.target_share(attacked, target)
    assert (rate.count, rate.total) == share


def test_targeted_success_has_no_value_when_every_image_is_the_target_anyway():
    assert np.isnan(metrics.rate(metrics.reached([1, 1], [1, 0], 1)).value)


@pytest.mark.parametrize("only_attack, only_control", [
    (0, 0), (1, 0), (0, 6), (6, 0), (5, 5), (4, 5), (12, 3), (40, 71)])
def test_mcnemar_is_twice_the_binomial_tail(only_attack, only_control):
    n = only_attack + only_control
    tail = stats.binom(n, 0.5).pmf(np.arange(min(only_attack, only_control) + 1)).sum()
    # then 7 images fooled by both and 9 by neither, which must not matter
    attacked = np.r_[np.ones(only_attack), np.zeros(only_control), np.ones(7), np.zeros(9)]
    control = np.r_[np.zeros(only_attack), np.ones(only_control), np.ones(7), np.zeros(9)]
    assert metrics.mcnemar_p(attacked > 0, control > 0) == pytest.approx(min(1, 2 * tail), rel=1e-9)


def test_accuracy_is_the_share_of_images_predicted_as_their_class():
    rate = metrics.accuracy(labels=[0, 1, 2, 2], predictions=[0, 1, 1, 2])
    assert (rate.count, rate.total) == (3, 4)


def test_recall_is_per_true_class_and_unknown_for_a_class_without_images():
    recalls = metrics.recall_per_class(
        labels=[0, 0, 0, 0, 1, 3], predictions=[0, 0, 1, 2, 1, 0], num_classes=4)
    assert [(r.count, r.total) for r in recalls] == [(2, 4), (1, 1), (0, 0), (0, 1)]
    assert np.isnan(recalls[2].value)


def test_holms_correction_multiplies_the_smallest_by_all_the_next_by_one_less_and_never_falls():
    assert metrics.holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert metrics.holm([0.6, 0.9]) == [1, 1]
    assert metrics.holm([0.01]) == [0.01]
    assert metrics.holm([]) == []


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
