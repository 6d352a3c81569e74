"""The picture of a training."""

import matplotlib

from utils.common.figures import BLUE, ORANGE, plt, save


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
