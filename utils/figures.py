"""Pictures of a training and of a UAP, and how every picture is saved. Each writes one file."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from utils.files import replacing
from utils.images import PIXEL_SCALE

# Okabe and Ito's palette: told apart by colour-blind readers, and by lightness in grey print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"
MOST_NUMBERED = 40  # classes of a confusion matrix; 1,000 would take an hour and 100 GB


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
    for axis, quantity in zip(axes, ("loss", "accuracy")):
        axis.plot(epochs, [row[quantity] for row in history], ".-", color=BLUE,
                  label="training, during the epoch")
        axis.plot(epochs, [row["test_" + quantity] for row in history], ".--", color=ORANGE,
                  label="test, after it")
        axis.set(xlabel="epoch", ylabel=quantity)
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    worst = max(max(row["loss"], row["test_loss"]) for row in history)
    # early losses in the test phase can be enormous
    axes[0].set(ylim=(0, min(1.05 * worst, 5)), ylabel="cross-entropy loss")
    axes[0].legend(fontsize=8)
    axes[1].set_ylim(0, 1)
    figure.suptitle(title)
    figure.tight_layout()
    save(figure, path)


def confusion_matrices(path, panels, class_names, title, ylabel, xlabel):
    """Confusion matrices side by side; each cell shows its count, shaded by its share of the row.
    Of more than MOST_NUMBERED classes the shades alone are drawn.

    panels: dict from a title to counts, int (K, K), rows `ylabel`, columns `xlabel`.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    numbered = len(class_names) <= MOST_NUMBERED
    side = 2.2 + 0.36 * min(len(class_names), MOST_NUMBERED)
    figure, axes = plt.subplots(1, len(panels), figsize=(side * len(panels) + 0.9, side + 0.4),
                                squeeze=False, constrained_layout=True)
    for axis, (panel, counts) in zip(axes[0], panels.items()):
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        display = ConfusionMatrixDisplay(shares, display_labels=class_names).plot(
            cmap="Blues", ax=axis, colorbar=False, xticks_rotation=60, include_values=numbered)
        display.im_.set_clim(0, 100)
        texts = display.text_.flat if numbered else ()
        for text, count, share in zip(texts, counts.flat, shares.flat):
            text.set(text=count or "", fontsize=8, color="white" if share > 60 else "black")
        axis.set(title=panel, xlabel=xlabel, ylabel=ylabel)
        axis.title.set_fontsize(10)
    figure.colorbar(display.im_, ax=list(axes[0]), label="share of the row, %", fraction=0.03)
    figure.suptitle(title, fontsize=11)
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
