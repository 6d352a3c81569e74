"""Whether a classifier is wrong because its pixels, or its classes, are in another order.

The commonest failure with a classifier from elsewhere: the pixels are scaled as it does not expect
them, or its outputs are given the names of other classes. The accuracy is then near that of
guessing, which is no proof, but worth the question whether something else fits.
"""

from typing import Callable, Dict, List, NamedTuple, Optional

import numpy as np

# Of the way from guessing to always right: the mean recall of the classes is suspicious below it.
SUSPICIOUS = 0.25


class Fit(NamedTuple):
    """What would fit better.

    preprocessing: a name; None where the given one does. class_names: in the order that would fit;
    None where the given order does. accuracy: then. others: the accuracy of each preprocessing that
    was tried, in the given order of the classes.
    """

    preprocessing: Optional[str]
    class_names: Optional[List[str]]
    accuracy: float
    others: Dict[str, float]


def recalls(labels: np.ndarray, predictions: np.ndarray, classes: int) -> List[Optional[float]]:
    """Return of each class the share of its images that are predicted as it; None without images.

    labels, predictions: int (n,), 0..classes - 1.
    """
    counts = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == predictions], minlength=classes)
    return [float(right[k] / counts[k]) if counts[k] else None for k in range(classes)]


def is_suspicious(labels: np.ndarray, predictions: np.ndarray, classes: int) -> bool:
    """Return whether a classifier is hardly better than guessing, or than one constant answer."""
    known = [recall for recall in recalls(labels, predictions, classes) if recall is not None]
    guessing = 1 / classes
    commonest = np.bincount(labels).max() / len(labels)
    accuracy = np.mean(labels == predictions)
    return bool(np.mean(known) < guessing + SUSPICIOUS * (1 - guessing)
                or accuracy < min(commonest, 0.5))


def what_fits(predict: Callable[[str], np.ndarray], names: List[str], given: str,
              labels: np.ndarray, class_names: List[str]) -> Fit:
    """Try other preprocessings, and for each another order of the classes.

    predict: function, name of a preprocessing -> int (n,), the classes that are predicted with it.
    names: of the preprocessings to try. given: the one that was suspicious, in the same writing.
    labels: int (n,). An order of the classes is only proposed where the given one does not fit.
    """
    classes = len(class_names)
    predictions = {name: predict(name) for name in [given] + names}
    accuracies = {name: float(np.mean(predictions[name] == labels)) for name in predictions}
    best = max(names, key=lambda name: accuracies[name], default=given)
    if accuracies[best] > accuracies[given] and not is_suspicious(
            labels, predictions[best], classes):
        return Fit(best, None, accuracies[best], others=accuracies)
    for name in sorted(predictions, key=lambda name: name != given):
        order = _best_order(labels, predictions[name], classes)
        renamed = np.array(order)[predictions[name]]
        if not is_suspicious(labels, renamed, classes):
            return Fit(None if name == given else name, [class_names[k] for k in order],
                       float(np.mean(renamed == labels)), others=accuracies)
    return Fit(None, None, accuracies[given], others=accuracies)


def _best_order(labels: np.ndarray, predictions: np.ndarray, classes: int) -> List[int]:
    """The class that each output would have to be for the highest mean recall."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((classes, classes))
    np.add.at(counts, (predictions, labels), 1)
    shares = counts / np.maximum(1, np.bincount(labels, minlength=classes))
    _, order = linear_sum_assignment(-shares)
    return [int(k) for k in order]
