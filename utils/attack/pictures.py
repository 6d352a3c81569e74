"""The picture of a UAP."""

from typing import NamedTuple

import numpy as np

from utils.common.figures import PANEL_WIDTHS, Labels, plt, save, wrapped, write_note
from utils.images.pixels import PIXEL_SCALE


class Magnified(NamedTuple):
    """A perturbation as a picture: values 0..1, and how many times it is magnified."""

    picture: np.ndarray
    factor: float


def magnified(v: np.ndarray) -> Magnified:
    """Return v about mid-grey, its largest entry spanning the grey levels.

    v: float32, (h, w, 3), model-input units. One of zeros is not magnified.
    """
    largest = float(np.abs(v).max()) or 127.5 / PIXEL_SCALE
    return Magnified(0.5 + 0.5 * v / largest, 127.5 / (largest * PIXEL_SCALE))


def uap_picture(path: str, v: np.ndarray, title: str) -> None:
    """Draw a perturbation, magnified until its largest entry spans the grey levels.

    v: float32, (h, w, 3), model-input units. A title that the font cannot draw stands in a text
    file beside the picture.
    """
    label, width = Labels(), PANEL_WIDTHS[3]
    shown = magnified(v)
    figure, axis = plt.subplots(figsize=(width, width + 0.8), constrained_layout=True)
    axis.imshow(shown.picture)
    axis.set_axis_off()
    change = (f"largest change {127.5 / shown.factor:.1f} of 255 grey levels, "
              f"shown x {shown.factor:.1f}" if v.any() else "the UAP is 0: it changes no pixel")
    axis.set_title(f"{wrapped(label(title), width)}\n{change}")
    save(figure, path)
    write_note(path, label.note())
