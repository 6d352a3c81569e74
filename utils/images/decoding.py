"""Image files to arrays: decoding, resizing, and reading ahead in the background."""

import numpy as np
from PIL import Image
from tqdm import tqdm

from utils.common.background import in_background
from utils.common.errors import UserError

RESIZE = {"bilinear": Image.BILINEAR, "nearest": Image.NEAREST}


class BrokenImage(Exception):
    """A file that cannot be decoded as an image; the message is the reason."""


def read_image(path, size, resize="bilinear"):
    """Decode one image file and resize it, aspect ratio not kept.

    path: any file Pillow can read; it becomes RGB as Pillow converts it, 16-bit samples keep their
    upper 8 bits, the EXIF orientation is ignored, as in Keras. resize: "bilinear", with
    antialiasing, or "nearest", which is Keras' load_img.
    Returns uint8, (size, size, 3), 0..255. Raises BrokenImage.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            image = image.convert("RGB")
            if image.size != (size, size):
                image = image.resize((size, size), RESIZE[resize])
            return np.asarray(image)
    except Exception as error:  # Pillow's decoders raise almost any of a damaged file
        raise BrokenImage(str(error) or type(error).__name__)


def read_ahead(paths, size, resize="bilinear"):
    """read_image() of each path, in background threads; yields an image or its BrokenImage."""
    def load(path):
        try:
            return read_image(path, size, resize)
        except BrokenImage as error:
            return error

    return in_background(load, paths, workers=2, ahead=64)


def read_images(paths, size, resize, description):
    """Read image files into memory, uint8 (n, size, size, 3), with a progress bar.

    Raises UserError: a labelled image left out would silently change the data set.
    """
    images, broken = np.empty((len(paths), size, size, 3), np.uint8), []
    stream = tqdm(read_ahead(paths, size, resize), total=len(paths), desc=description, unit="image")
    for index, image in enumerate(stream):
        if isinstance(image, BrokenImage):
            broken.append("{} ({})".format(paths[index], image))
        else:
            images[index] = image
    if broken:
        raise UserError(
            "{} of {} images cannot be read, the first is {}; get them again, or remove their rows"
            .format(len(broken), len(paths), broken[0]))
    return images


