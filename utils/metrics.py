"""Rates that are computed from predictions, with their uncertainty.

Every argument named labels, clean, attacked or control is an int array (n,) of class indices.
"""

import collections

import numpy as np
from scipy import stats

Rate = collections.namedtuple("Rate", "value low high count total")


def rate(hits):
    """Share of True in a bool array with its Wilson 95 % interval (Wilson 1927), as a Rate.

    An empty array gives nan: no images, no rate.
    """
    hits = np.asarray(hits, bool)
    count, total = int(hits.sum()), len(hits)
    if total == 0:
        return Rate(np.nan, np.nan, np.nan, 0, 0)
    interval = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return Rate(count / total, interval.low, interval.high, count, total)


def fooling_rate(clean, attacked):
    """Share of images whose predicted class differs from that of the clean image."""
    return rate(np.asarray(attacked) != np.asarray(clean))


def targeted_success(clean, attacked, target):
    """Share, of the images not already predicted as the target, that are under the attack."""
    clean, attacked = np.asarray(clean), np.asarray(attacked)
    return rate(attacked[clean != target] == target)


def target_share(attacked, target):
    """Share of all images predicted as the target: the study's measure of a targeted attack."""
    return rate(np.asarray(attacked) == target)


def mcnemar_p(clean, attacked, control):
    """Exact two-sided p-value of McNemar's test: does the attack fool other images than chance?

    Paired by image: only images fooled by one of attack and control count (McNemar 1947).
    """
    by_attack = np.asarray(attacked) != np.asarray(clean)
    by_control = np.asarray(control) != np.asarray(clean)
    only_attack = int(np.sum(by_attack & ~by_control))
    only_control = int(np.sum(by_control & ~by_attack))
    if only_attack + only_control == 0:
        return 1.0
    return float(stats.binomtest(only_attack, only_attack + only_control).pvalue)


def accuracy(labels, predictions):
    """Share of images predicted as their true class, as a Rate."""
    return rate(np.asarray(labels) == np.asarray(predictions))


def recall_per_class(labels, predictions, num_classes):
    """For each class, the share of its images predicted as it: a list of Rate."""
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    return [rate(predictions[labels == k] == k) for k in range(num_classes)]
