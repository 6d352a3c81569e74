"""Pixels and model inputs: the one scaling of the study, and what an image file keeps of an image."""

import io

import numpy as np
from PIL import Image

# Model input x = (pixels - PIXEL_OFFSET) / PIXEL_SCALE, as in the study.
PIXEL_OFFSET = 128.0
PIXEL_SCALE = 128.0


def to_model_input(pixels):
    """uint8 pixels 0..255, any shape -> float32 model input in -1..0.9922, same shape."""
    return (np.asarray(pixels, np.float32) - np.float32(PIXEL_OFFSET)) / np.float32(PIXEL_SCALE)


def to_pixels(x):
    """Model input, any shape -> uint8 pixels as in an image file: clipped to 0..255, rounded."""
    return np.rint(np.clip(x * PIXEL_SCALE + PIXEL_OFFSET, 0, 255)).astype(np.uint8)


def as_jpeg(image, quality):
    """What a JPEG file, quality 1..95, chroma subsampled 2 x 2, keeps of uint8 (h, w, 3)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))
