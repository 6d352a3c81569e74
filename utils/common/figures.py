"""How every picture is drawn alike and saved, and confusion matrices. Each writes one file."""

import os
from typing import Dict, Optional

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager

from utils.common.terminal import printable
from utils.common.whole_files import replacing, write_text

# Okabe and Ito's palette: told apart by colour-blind readers, and by lightness in grey print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"
MOST_NUMBERED = 40  # classes of a confusion matrix; 1,000 would take an hour and 100 GB


def save(figure, path):
    """Write a figure to a file, whole or not at all, and forget it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    plt.close(figure)


class Labels:
    """The texts of one picture: called with a text, it gives what matplotlib draws as this text.

    A dollar sign does not begin a formula, and an underscore does not hide an entry of a legend.
    Characters that the font at hand cannot draw become a number in brackets; `note` says what
    stands behind each number.
    """

    def __init__(self) -> None:
        font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
        self._drawable = set(map(chr, font.get_charmap())) | {"\n"}
        self._numbers: Dict[str, int] = {}

    def __call__(self, text: str) -> str:
        found, missing = [], ""
        for character in text + "\n":  # the newline ends what is missing at the end
            if character not in self._drawable:
                missing += character
                continue
            if missing:
                number = self._numbers.setdefault(missing, len(self._numbers) + 1)
                found.append(f"[{number}]")
                missing = ""
            found.append(character)
        drawn = "".join(found)[:-1].replace("$", r"\$")
        return " " + drawn if drawn.startswith("_") else drawn

    def note(self) -> Optional[str]:
        """A sentence on the names that the picture shows as numbers; None where there are none."""
        if not self._numbers:
            return None
        names = ", ".join(f"[{number}] is {name}" for name, number in self._numbers.items())
        return f"The font of the picture lacks characters of these names: {names}."


def write_note(path: str, note: Optional[str]) -> None:
    """Write what Labels.note says of the picture `path` into a text file beside it, if anything."""
    if note is not None:
        write_text(os.path.splitext(path)[0] + ".txt", printable(note) + "\n")


def confusion_matrices(path, panels, class_names, title, ylabel, xlabel):
    """Confusion matrices side by side; each cell shows its count, shaded by its share of the row.
    Of more than MOST_NUMBERED classes the shades alone are drawn.

    panels: dict from a title to counts, int (K, K), rows `ylabel`, columns `xlabel`.
    Returns what Labels.note says.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    label = Labels()
    class_names = list(map(label, class_names))

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
        axis.set(title=label(panel), xlabel=xlabel, ylabel=ylabel)
        axis.title.set_fontsize(10)
    figure.colorbar(display.im_, ax=list(axes[0]), label="share of the row, %", fraction=0.03)
    figure.suptitle(None if title is None else label(title), fontsize=11)
    save(figure, path)
    return label.note()
