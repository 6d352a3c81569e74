"""Pixels and model inputs: the one scaling of the study, and what an image file keeps."""

import io

import numpy as np
from PIL import Image

from utils.common.json_files import NUMBER, POSITIVE, fields

# Model input x = (pixels - PIXEL_OFFSET) / PIXEL_SCALE, as in the study.
PIXEL_OFFSET = 128.0
PIXEL_SCALE = 128.0
# How JSON files say it.
SCALING_SCHEMA = fields(offset=NUMBER, scale=POSITIVE)


def to_model_input(pixels: np.ndarray) -> np.ndarray:
    """Scale uint8 pixels 0..255, of any shape, to float32 model input in -1..0.9922."""
    return (np.asarray(pixels, np.float32) - np.float32(PIXEL_OFFSET)) / np.float32(PIXEL_SCALE)


def to_pixels(x: np.ndarray) -> np.ndarray:
    """Scale model input, of any shape, to uint8 pixels as an image file keeps them.

    Values beyond 0..255 are clipped, the others rounded to the nearest.
    """
    return np.rint(np.clip(x * PIXEL_SCALE + PIXEL_OFFSET, 0, 255)).astype(np.uint8)


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Return what a JPEG file keeps of an image, uint8 (h, w, 3).

    quality: 1..95, as Pillow counts it; the chroma is subsampled 2 x 2.
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
