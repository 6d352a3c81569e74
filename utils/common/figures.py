"""How every picture is drawn alike and saved, and confusion matrices. Each writes one file."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from utils.common.whole_files import replacing

# Okabe and Ito's palette: told apart by colour-blind readers, and by lightness in grey print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"
MOST_NUMBERED = 40  # classes of a confusion matrix; 1,000 would take an hour and 100 GB


def save(figure, path):
    """Write a figure to a file, whole or not at all, and forget it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    plt.close(figure)


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


