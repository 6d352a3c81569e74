"""Rates that are computed from predictions, with their uncertainty.

labels, clean, attacked and predictions are arrays (n,) of class indices or class names.
"""

import collections

import numpy as np
from scipy import stats

Rate = collections.namedtuple("Rate", "value low high count total")


def rate(hits):
    """Share of True in a bool array with its Wilson 95 % interval (Wilson 1927), as a Rate.

    An empty array gives nan: no images, no rate.
    """
    count, total = int(np.sum(hits)), len(hits)
    if total == 0:
        return Rate(np.nan, np.nan, np.nan, 0, 0)
    interval = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return Rate(count / total, interval.low, interval.high, count, total)


def fooled(clean, attacked):
    """Bool (n,): whether the predicted class differs from that of the clean image."""
    return np.asarray(attacked) != np.asarray(clean)


def reached(clean, attacked, target):
    """Bool: of the images not already predicted as the target, whether each is under the attack."""
    clean, attacked = np.asarray(clean), np.asarray(attacked)
    return attacked[clean != target] == target


def mcnemar_p(by_attack, by_control):
    """Exact two-sided p-value of McNemar's test (McNemar 1947) for two bool arrays (n,).

    by_attack, by_control: on which images each succeeded. Paired by image: only those count on
    which one did and the other did not.
    """
    by_attack, by_control = np.asarray(by_attack, bool), np.asarray(by_control, bool)
    only_attack, either = int(np.sum(by_attack & ~by_control)), int(np.sum(by_attack ^ by_control))
    return float(stats.binomtest(only_attack, either).pvalue) if either else 1.0


def holm(p_values):
    """p-values corrected for having made so many tests (Holm 1979): a list in the same order."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    return corrected.tolist()


def accuracy(labels, predictions):
    """Share of images predicted as their true class, as a Rate."""
    return rate(np.asarray(labels) == np.asarray(predictions))
