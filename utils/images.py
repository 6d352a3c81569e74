"""Image files to arrays: decoding, resizing, scaling, and reading ahead in the background."""

import collections
import concurrent.futures
import io
import os

import numpy as np
from PIL import Image
from tqdm import tqdm

from utils.errors import UserError
from utils.files import sha256_of_lines

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")

# Model input x = (pixels - PIXEL_OFFSET) / PIXEL_SCALE, as in the study.
PIXEL_OFFSET = 128.0
PIXEL_SCALE = 128.0

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


def in_background(function, items, workers, ahead):
    """Apply `function` to `items` in threads; yield the results in order, at most `ahead` wait."""
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    pending = collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown()


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


def find_images(folder):
    """All image files below `folder`, by extension, as sorted paths relative to it; linked folders
    too, hidden ones not."""
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.relpath(os.path.join(where, name), folder) for name in names
                  if name.lower().endswith(EXTENSIONS) and not name.startswith(".")]
    return sorted(found)


def sha256_of_images(folder, files):
    """SHA-256 of the names and sizes of image files: it tells other images without reading them."""
    paths = [os.path.join(folder, file) for file in files]
    return sha256_of_lines("{},{}".format(file, os.path.exists(path) and os.path.getsize(path))
                           for file, path in zip(files, paths))


def list_images(folder):
    """The same, where there are any; else raises UserError."""
    found = find_images(folder)
    if not found:
        problem = ("no image in this folder (looked for {})".format(" ".join(EXTENSIONS))
                   if os.path.isdir(folder) else "no such folder")
        raise UserError("{}: {}; data/README.md says how to get the images".format(folder, problem))
    return found
