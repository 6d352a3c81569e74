"""One image file to an array: which decoders are trusted, and what becomes of other than 8 bits."""

import contextlib
import errno
import io
import os
import stat
from typing import Iterator, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from utils.common.errors import UserError
from utils.images.presence import cannot_be_read

# The only decoders that are ever opened, whatever a file's name says. Not WebP's: the library that
# comes with Pillow 9.5 is older than the mend of CVE-2023-4863, and which files count as images
# shall not depend on the version of a library.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "GIF")
RESIZE = {"bilinear": Image.BILINEAR, "nearest": Image.NEAREST}
LARGEST_FILE = 1 << 30  # bytes; Pillow itself refuses more than 178,956,970 pixels

SAVE_AS = "save such images as 8-bit PNG, with black at 0 and white at 255"

# Tags of a TIFF file (TIFF revision 6.0, sections 8 and 19), and some of their values.
BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC_INTERPRETATION, SAMPLE_FORMAT = 258, 259, 262, 339
WHITE_IS_ZERO, UNSIGNED = 0, 1
COMPRESSED_BY_WEBP = 50001
OTHER_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}


class BrokenImage(Exception):
    """A file whose contents are no image that can be decoded; the message is the reason."""


class DecodedImage(NamedTuple):
    """An image before it is resized."""

    rgb: Image.Image  # mode "RGB", 8 bits
    bits: int  # of a sample in the file: 8 (or fewer), 12 or 16


def read_image(path: str, size: int, resize: str = "bilinear") -> np.ndarray:
    """Decode one image file and resize it, aspect ratio not kept.

    path: a JPEG, PNG, BMP, TIFF or GIF file, of which the first frame is taken. It becomes RGB as
    Pillow converts it: alpha is dropped, and the EXIF orientation is ignored, as in Keras. Samples
    of 12 or 16 bits keep their upper 8. resize: "bilinear", with antialiasing, or "nearest", which
    is Keras' load_img.
    Returns uint8, (size, size, 3), 0..255.
    Raises BrokenImage when the contents of the file are to blame, and UserError when the system is:
    a later attempt may then succeed.
    """
    image = decode_image(path).rgb
    with _blaming(path):
        if image.size != (size, size):
            image = image.resize((size, size), RESIZE[resize])
        return np.asarray(image)


def decode_image(path: str) -> DecodedImage:
    """Decode one image file in the size that it has. Raises what read_image raises."""
    with _blaming(path):
        content = _read_content(path)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            bits = _bits_of_samples(image)
            if image.mode.startswith("I"):
                image = _upper_8_bits(image, bits)
            return DecodedImage(image.convert("RGB"), bits)


@contextlib.contextmanager
def _blaming(path: str) -> Iterator[None]:
    """Tell what the contents of a file cause, BrokenImage, from what the system does, UserError.

    The decoders read from memory, so an OSError that has a number comes from reading the file.
    """
    try:
        yield
    except BrokenImage:
        raise
    except MemoryError:
        raise UserError(f"{path}: not enough memory to decode this image; close other programs, "
                        "then give the same command")
    except UnidentifiedImageError:
        raise BrokenImage(f"cannot identify an image; expected {', '.join(FORMATS)} as Pillow "
                          f"decodes them; {SAVE_AS}")
    except OSError as error:
        if error.errno is None:
            raise BrokenImage(str(error))
        raise cannot_be_read(path, error)
    except Exception as error:  # Pillow's decoders raise almost any of a damaged file
        raise BrokenImage(str(error) or type(error).__name__)


def _read_content(path: str) -> bytes:
    """The bytes of a regular file. Raises BrokenImage for what is none, OSError."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BrokenImage("too many levels of symbolic links")
        raise
    if not stat.S_ISREG(mode):  # asked first: opening a pipe waits, and opening a device may act
        raise BrokenImage("no regular file, but a "
                          + ("directory" if stat.S_ISDIR(mode) else "pipe, socket or device"))
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise BrokenImage(f"a file of {size / 1e9:.1f} GB; images have at most "
                              f"{LARGEST_FILE / 1e9:.1f} GB")
        return file.read()


def _bits_of_samples(image: Image.Image) -> int:
    """The bits of a sample: 8 or fewer, 12, or 16. Raises BrokenImage unless they are unsigned."""
    if image.format == "TIFF":
        if image.tag_v2.get(COMPRESSION) == COMPRESSED_BY_WEBP:
            raise BrokenImage(f"a TIFF file compressed by WebP, which is not decoded; {SAVE_AS}")
        bits = max(image.tag_v2.get(BITS_PER_SAMPLE, (1,)))
        for sample_format in image.tag_v2.get(SAMPLE_FORMAT, (UNSIGNED,)):
            if sample_format != UNSIGNED:
                kind = OTHER_FORMATS.get(sample_format, "unknown")
                raise BrokenImage(f"{kind} samples of {bits} bits, whose black and white are not "
                                  f"known; {SAVE_AS}")
        if bits > 16:
            raise BrokenImage(f"samples of {bits} bits, whose white is not known; {SAVE_AS}")
        return bits
    if image.format == "PNG" and ";16" in str(image.tile[0][3]):  # how Pillow unpacks the samples
        return 16
    return 8


def _upper_8_bits(image: Image.Image, bits: int) -> Image.Image:
    """Return a grey image of 12 or 16 bits in 8.

    White is 0 in some TIFF files; Pillow minds that for 8 bits, but not for 16.
    """
    samples = np.asarray(image)
    if image.format == "TIFF" and (
            image.tag_v2.get(PHOTOMETRIC_INTERPRETATION, WHITE_IS_ZERO) == WHITE_IS_ZERO):
        samples = 2 ** bits - 1 - samples
    return Image.fromarray((samples >> (bits - 8)).astype(np.uint8))
