"""How every picture is drawn alike and saved, and confusion matrices. Each writes one file."""

import os
import textwrap
from typing import Dict, Optional, Sequence

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager

from utils.common.terminal import printable
from utils.common.whole_files import replacing, write_text

# Okabe and Ito's palette: told apart by colour-blind readers, and by lightness in grey print.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"

# A page of GitHub shows a picture at most PAGE_WIDTH pixels wide, and makes wider ones smaller.
PAGE_WIDTH = 838
MOST_WIDTH = 1000  # pixels of a picture
DOTS_PER_INCH = 100
MOST_PANELS = 3    # in a row
PANEL_WIDTHS = {1: 6.0, 2: 8.3, 3: 10.0}  # inches of a picture with so many panels in a row
FONT_SIZE, TITLE_SIZE = 10, 11  # points: 11 pixels or more on the page
MOST_NUMBERED = 20  # classes of a confusion matrix whose cells have room for a number
MOST_CHARACTERS = 14  # of a class name at an axis

plt.rcParams.update({
    "font.size": FONT_SIZE, "axes.titlesize": FONT_SIZE, "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE, "ytick.labelsize": FONT_SIZE, "legend.fontsize": FONT_SIZE,
    "figure.titlesize": TITLE_SIZE})


def save(figure: plt.Figure, path: str) -> None:
    """Write a figure to a file, whole or not at all, and forget it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH)
    plt.close(figure)


def shorten(text: str, characters: int = MOST_CHARACTERS) -> str:
    """Return a text of at most so many characters, with an ellipsis where something is missing."""
    return text if len(text) <= characters else text[:characters - 1] + "…"


def wrapped(text: str, width: float) -> str:
    """Return a title in lines that fit into so many inches."""
    return "\n".join(textwrap.wrap(text, int(11 * width)))


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
        drawn, missing = [], ""
        for character in text + "\n":  # the newline ends what is missing at the end
            if character not in self._drawable:
                missing += character
                continue
            if missing:
                number = self._numbers.setdefault(missing, len(self._numbers) + 1)
                drawn.append(f"[{number}]")
                missing = ""
            drawn.append(character)
        text = "".join(drawn)[:-1].replace("$", r"\$")
        return " " + text if text.startswith("_") else text

    def note(self) -> Optional[str]:
        """Return a sentence on the names that the picture shows as numbers; None without any."""
        if not self._numbers:
            return None
        names = ", ".join(f"[{number}] is {name}" for name, number in self._numbers.items())
        return f"The font of the picture lacks characters of these names: {names}."


def write_note(path: str, note: Optional[str]) -> None:
    """Write what Labels.note says of the picture `path` into a text file beside it, if anything."""
    if note is not None:
        write_text(os.path.splitext(path)[0] + ".txt", printable(note) + "\n")


def confusion_matrices(path: str, panels: Dict[str, np.ndarray], class_names: Sequence[str],
                       title: Optional[str], ylabel: str, xlabel: str) -> Optional[str]:
    """Draw confusion matrices; each cell shows its count, shaded by its share of the row.

    Of more than MOST_NUMBERED classes the shades alone are drawn, and only some are named.
    panels: from a title to counts, int (K, K), rows `ylabel`, columns `xlabel`.
    Returns what Labels.note says.
    """
    from sklearn.metrics import ConfusionMatrixDisplay

    label, count = Labels(), len(class_names)
    is_numbered = count <= MOST_NUMBERED
    most_in_row = MOST_PANELS
    if count > 12:
        most_in_row = 1
    elif count > 8:
        most_in_row = 2
    in_row = min(len(panels), most_in_row)
    in_column = -(-len(panels) // in_row)
    width = PANEL_WIDTHS[in_row if count <= 8 else min(in_row + 1, MOST_PANELS)]
    side = (width - 1) / in_row - 0.75  # inches of a matrix, without its labels
    figure, axes = plt.subplots(
        in_column, in_row, figsize=(width, 0.4 + in_column * (side + 1.3)), squeeze=False,
        constrained_layout=True)
    for axis in axes.flat[len(panels):]:
        axis.set_axis_off()
    step = -(-count // (2 * MOST_NUMBERED))  # every one of the names, or every second ...
    names = [shorten(label(name)) for name in class_names]
    for axis, (panel, counts) in zip(axes.flat, panels.items()):
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        display = ConfusionMatrixDisplay(shares, display_labels=names).plot(
            cmap="Blues", ax=axis, colorbar=False, xticks_rotation=90, include_values=is_numbered)
        display.im_.set_clim(0, 100)
        for text, number, share in zip(display.text_.flat if is_numbered else (), counts.flat,
                                       shares.flat):
            text.set(text=number or "", color="white" if share > 60 else "black")
        if step > 1:
            axis.set_xticks(range(0, count, step))
            axis.set_xticklabels(names[::step])
            axis.set_yticks(range(0, count, step))
            axis.set_yticklabels(names[::step])
        axis.set(title=wrapped(label(panel), width / in_row), xlabel=xlabel,
                 ylabel=ylabel)
    figure.colorbar(display.im_, ax=axes[:, -1].tolist(), label="share of the row, %",
                    fraction=0.05)
    if title is not None:
        figure.suptitle(wrapped(label(title), width))
    save(figure, path)
    return label.note()
