"""The pictures of a training."""

from typing import Sequence

import matplotlib
import numpy as np

from utils.common.figures import (
    BLUE,
    ORANGE,
    PANEL_WIDTHS,
    Labels,
    confusion_matrices,
    plt,
    save,
    wrapped,
    write_note,
)
from utils.training.fine_tuning import EpochResult


def learning_curve(path: str, history: Sequence[EpochResult], title: str) -> None:
    """Draw loss and accuracy against the epoch.

    A title that the font cannot draw stands in a text file beside the picture.
    """
    label = Labels()
    epochs = [result.epoch for result in history]
    figure, axes = plt.subplots(1, 2, figsize=(PANEL_WIDTHS[2], 3.2))
    for axis, quantity in zip(axes, ("loss", "accuracy")):
        axis.plot(epochs, [getattr(result, quantity) for result in history], ".-", color=BLUE,
                  label="training, during the epoch")
        axis.plot(epochs, [getattr(result, "test_" + quantity) for result in history], ".--",
                  color=ORANGE, label="test, after it")
        axis.set(xlabel="epoch", ylabel=quantity)
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    worst = max(max(result.loss, result.test_loss) for result in history)
    # early losses in the test phase can be enormous
    axes[0].set(ylim=(0, min(1.05 * worst, 5)), ylabel="cross-entropy loss")
    axes[0].legend()
    axes[1].set_ylim(0, 1)
    figure.suptitle(wrapped(label(title), PANEL_WIDTHS[2]))
    figure.tight_layout()
    save(figure, path)
    write_note(path, label.note())


def confusion_matrix(path: str, counts: np.ndarray, class_names: Sequence[str],
                     title: str) -> None:
    """Draw how often each class is predicted as which: the test images by true and predicted class.

    counts: int (K, K), rows the true class. Names that the font cannot draw stand in a text file
    beside the picture.
    """
    write_note(path, confusion_matrices(path, {title: counts}, class_names, title=None,
                                        ylabel="true class", xlabel="predicted class"))
