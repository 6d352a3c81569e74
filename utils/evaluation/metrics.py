"""Rates that are computed from predictions, with their uncertainty.

labels, clean, attacked and predictions are arrays (n,) of class indices or class names.
"""

from typing import List, NamedTuple, Sequence, Union

import numpy as np
from scipy import stats

from utils.common.success import is_fooled, is_targeted_success


class Rate(NamedTuple):
    """A share of images, 0..1, with its Wilson 95 % interval; count of total images.

    Of no images (total 0) value, low and high are nan.
    """

    value: float
    low: float
    high: float
    count: int  # type: ignore[assignment]  # tuple.count
    total: int


def rate(hits: Sequence[bool]) -> Rate:
    """Return the share of True in a bool array with its Wilson 95 % interval (Wilson 1927)."""
    count, total = int(np.sum(hits)), len(hits)
    if total == 0:
        return Rate(np.nan, np.nan, np.nan, count=0, total=0)
    interval = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return Rate(count / total, interval.low, interval.high, count=count, total=total)


def fooling_rate(clean: np.ndarray, attacked: np.ndarray) -> Rate:
    """Return the share of images whose predicted class under the attack is not the clean one.

    Moosavi-Dezfooli et al. 2017, equation 1; the true class plays no part.
    """
    return rate(is_fooled(clean, attacked))


def targeted_success_rate(clean: np.ndarray, attacked: np.ndarray,
                          target: Union[int, str]) -> Rate:
    """Return the share of images that become the target, of those not predicted as it anyway.

    target: the index or the name of a class, as clean and attacked have them.
    """
    return rate(is_targeted_success(clean, attacked, target))


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> Rate:
    """Return the share of images predicted as their true class."""
    return rate(np.asarray(labels) == np.asarray(predictions))


def mcnemar_p(by_attack: np.ndarray, by_control: np.ndarray) -> float:
    """Return the exact two-sided p-value of McNemar's test (McNemar 1947).

    by_attack, by_control: on which images each succeeded, bool (n,). Paired by image: only those
    count on which one did and the other did not.
    """
    by_attack, by_control = np.asarray(by_attack, bool), np.asarray(by_control, bool)
    only_attack = int(np.sum(by_attack & ~by_control))
    only_one = int(np.sum(by_attack ^ by_control))
    if only_one == 0:
        return 1.0
    return float(stats.binomtest(only_attack, only_one).pvalue)


def holm(p_values: Sequence[float]) -> List[float]:
    """Correct p-values for having made so many tests (Holm 1979); the order is the same."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(1, np.maximum.accumulate(factors * np.asarray(p_values)[order]))
    return corrected.tolist()
