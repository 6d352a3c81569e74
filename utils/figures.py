"""Pictures of a training and of a UAP, and how every picture is saved. Each writes one file."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from utils.files import replacing
from utils.images import PIXEL_SCALE

# Okabe and Ito's palette: told apart by colour-blind readers, and by lightness in grey print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"


def save(figure, path):
    """Write a figure to a file, whole or not at all, and forget it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    plt.close(figure)


def learning_curve(path, history, title):
    """Loss and accuracy against the epoch.

    history: list of dicts with epoch, loss, accuracy, test_loss, test_accuracy.
    """
    epochs = [row["epoch"] for row in history]
    figure, axes = plt.subplots(1, 2, figsize=(8, 3))
    for axis, quantity, label in ((axes[0], "loss", "cross-entropy loss"),
                                  (axes[1], "accuracy", "accuracy")):
        axis.plot(epochs, [row[quantity] for row in history], color=BLUE, marker=".",
                  label="training, during the epoch")
        axis.plot(epochs, [row["test_" + quantity] for row in history], color=ORANGE, marker=".",
                  linestyle="--", label="test, after the epoch")
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes[1].set_ylim(0, 1)
    worst = max(max(row["loss"], row["test_loss"]) for row in history)
    axes[0].set_ylim(0, min(1.05 * worst, 5))  # early losses in the test phase can be enormous
    axes[0].legend(fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    save(figure, path)


def confusion_matrix(path, labels, predictions, class_names, title):
    """A confusion matrix in counts. labels, predictions: int, (n,)."""
    from sklearn.metrics import ConfusionMatrixDisplay

    size = 2.4 + 0.55 * len(class_names)
    figure, axis = plt.subplots(figsize=(size, size))
    ConfusionMatrixDisplay.from_predictions(
        labels, predictions, labels=range(len(class_names)), display_labels=class_names,
        cmap="Blues", xticks_rotation=45, ax=axis)
    axis.set_title(title, fontsize=10)
    save(figure, path)


def magnified(v):
    """v about mid-grey, its largest entry spanning the grey levels, and the factor."""
    largest = max(float(np.abs(v).max()), 1e-12)
    return 0.5 + 0.5 * v / largest, 127.5 / (largest * PIXEL_SCALE)


def uap_picture(path, v, title):
    """A perturbation, magnified until its largest entry spans the grey levels.

    v: float32, (h, w, 3), model-input units.
    """
    picture, factor = magnified(v)
    figure, axis = plt.subplots(figsize=(4, 4.4))
    axis.imshow(picture)
    axis.set_axis_off()
    axis.set_title("{}\nlargest change {:.1f} of 255 grey levels, shown x {:.1f}".format(
        title, 127.5 / factor, factor), fontsize=8)
    save(figure, path)
