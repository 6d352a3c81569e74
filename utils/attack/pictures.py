"""The picture of a UAP."""

import numpy as np

from utils.common.figures import Labels, plt, save, write_note
from utils.images.pixels import PIXEL_SCALE


def magnified(v):
    """v about mid-grey, its largest entry spanning the grey levels, and the factor."""
    largest = max(float(np.abs(v).max()), 1e-12)
    return 0.5 + 0.5 * v / largest, 127.5 / (largest * PIXEL_SCALE)


def uap_picture(path, v, title):
    """A perturbation, magnified until its largest entry spans the grey levels.

    v: float32, (h, w, 3), model-input units. A title that the font cannot draw stands in a text
    file beside the picture.
    """
    label = Labels()
    picture, factor = magnified(v)
    figure, axis = plt.subplots(figsize=(4, 4.4))
    axis.imshow(picture)
    axis.set_axis_off()
    axis.set_title("{}\nlargest change {:.1f} of 255 grey levels, shown x {:.1f}".format(
        label(title), 127.5 / factor, factor), fontsize=8)
    save(figure, path)
    write_note(path, label.note())
