"""What a network expects its pixels to be, as a convolution of 1 x 1 in front of the network.

With it every classifier takes the same inputs, (pixels - 128) / 128 in RGB, and a perturbation, its
norm and its bound mean the same for all of them.
"""

from typing import NamedTuple, Tuple

import numpy as np

from utils.common.errors import UserError
from utils.images.pixels import PIXEL_OFFSET, PIXEL_SCALE

Channels = Tuple[float, float, float]

# How Pillow makes one channel of red, green and blue (ITU-R 601-2 luma).
_GREY = (0.299, 0.587, 0.114)


class Preprocessing(NamedTuple):
    """What becomes of pixels, 0..255: (pixels - offset) / scale, for red, green and blue.

    is_bgr: whether the network takes blue first.
    """

    offset: Channels
    scale: Channels
    is_bgr: bool


# Under the names that Keras' users know (preprocess_input, and ImageDataGenerator's rescale).
NAMED = {
    "study": Preprocessing((PIXEL_OFFSET,) * 3, (PIXEL_SCALE,) * 3, False),
    "tf": Preprocessing((127.5,) * 3, (127.5,) * 3, False),
    "caffe": Preprocessing((123.68, 116.779, 103.939), (1.0,) * 3, True),
    "torch": Preprocessing((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False),
    "rescale": Preprocessing((0.0,) * 3, (255.0,) * 3, False),
    "none": Preprocessing((0.0,) * 3, (1.0,) * 3, False),
}
EXPECTED = (f"expected {', '.join(NAMED)}, or offset,scale of (pixels - offset) / scale: one pair, "
            "or three, for red, green and blue, with blanks between them")


def parse_preprocessing(text: str) -> Preprocessing:
    """Return the preprocessing of a name, or of offset,scale: once, or for each channel.

    "127.5,127.5" is tf; "123.68,1 116.779,1 103.939,1" is caffe, in RGB. Raises UserError.
    """
    if text in NAMED:
        return NAMED[text]
    refusal = UserError(f"--preprocessing {text}: {EXPECTED}")
    try:
        pairs = [tuple(float(number) for number in pair.split(",")) for pair in text.split()]
    except ValueError:
        raise refusal
    if len(pairs) not in (1, 3) or any(len(pair) != 2 for pair in pairs):
        raise refusal
    if not np.isfinite(pairs).all() or any(scale == 0 for _, scale in pairs):
        raise refusal
    pairs = pairs * 3 if len(pairs) == 1 else pairs
    offsets, scales = zip(*pairs)
    return Preprocessing(offsets, scales, False)


def as_convolution(preprocessing: Preprocessing, channels: int) -> Tuple[np.ndarray, np.ndarray]:
    """Return a convolution that makes a network's input of the model input.

    Its kernel is float32 (1, 1, 3, channels), its bias float32 (channels,); the model input is
    x = (pixels - 128) / 128, RGB.
    channels: 3, or 1 for a network of grey images, which gets what Pillow makes of the colours.
    """
    scale = np.array(preprocessing.scale)
    factors = PIXEL_SCALE / scale
    constants = (PIXEL_OFFSET - np.array(preprocessing.offset)) / scale
    mixing = np.eye(3)
    if preprocessing.is_bgr:
        mixing = mixing[:, ::-1]
    if channels == 1:
        mixing = np.array(_GREY)[:, np.newaxis]
    kernel = factors[:, np.newaxis] * mixing
    return np.float32(kernel)[np.newaxis, np.newaxis], np.float32(constants.dot(mixing))
