"""Many image files: read ahead of their use, read into memory, and looked over beforehand."""

import os
import sys
from typing import Iterable, Iterator, List, Sequence, Union

import numpy as np
from tqdm import tqdm

from utils.common.background import in_background
from utils.common.errors import UserError
from utils.common.memory import require_memory
from utils.common.terminal import printable
from utils.images.decoding import SAVE_AS, BrokenImage, decode_image, read_image

DARK_LEVEL = 16  # the first grey level, of 256, that no 16-bit sample below 4,096 reaches
LOOKED_AT_FOR_DARKNESS = 100  # images; of a set of 12-bit samples the first show it


def read_ahead(paths: Iterable[str], size: int,
               resize: str = "bilinear") -> Iterator[Union[np.ndarray, BrokenImage]]:
    """Yield read_image() of each path, in order, read in background threads.

    Where the contents of a file are no image, its BrokenImage is yielded in its place. Raises
    UserError when the system cannot read a file.
    """
    def load(path: str) -> Union[np.ndarray, BrokenImage]:
        try:
            return read_image(path, size, resize)
        except BrokenImage as error:
            return error

    return in_background(load, paths, workers=2, most_pending=64)


def read_images(paths: Sequence[str], size: int, resize: str, description: str) -> np.ndarray:
    """Read labelled image files into memory, with a progress bar.

    description: of the bar. Returns uint8, (n, size, size, 3), 0..255. Raises UserError when they
    do not fit into memory, when all are constant, or when one cannot be read: a labelled image that
    is left out would silently change the data set.
    """
    require_memory_for_images(len(paths), size)
    look_over(paths)
    try:
        images = np.empty((len(paths), size, size, 3), np.uint8)
    except MemoryError:  # a limit that nothing told us
        raise UserError(f"{len(paths)} images of {size} x {size} pixels do not fit into memory; "
                        "give --limit or a smaller --image-size")
    broken: List[str] = []
    stream = tqdm(read_ahead(paths, size, resize), total=len(paths), desc=description, unit="image")
    for index, image in enumerate(stream):
        if isinstance(image, BrokenImage):
            broken.append(f"{paths[index]} ({image})")
        else:
            images[index] = image
    if broken:
        raise UserError(f"{len(broken)} of {len(paths)} images cannot be read, the first is "
                        f"{broken[0]}; get them again, or remove their rows")
    return images


def require_memory_for_images(count: int, size: int) -> None:
    """Raise UserError when so many images, (size, size, 3) in uint8, do not fit into memory."""
    require_memory(count * size * size * 3, f"{count} images of {size} x {size} pixels",
                   "give --limit or a smaller --image-size, or use a larger machine")


def look_over(paths: Sequence[str]) -> None:
    """Refuse a set of images that are all constant; warn where all have dark 16-bit samples.

    Such sets come from tools that save 12 bits, or 0..1, as if they filled 16 or 8 bits. A set that
    is sound costs the decoding of one image or a few: the first that is neither ends the search.
    paths: of the set, in any order; broken images are left to those who read them.
    Raises UserError.
    """
    looked_at, all_constant, all_dark = 0, True, True
    for path in paths:
        try:
            image = decode_image(path)
        except BrokenImage:
            continue
        looked_at += 1
        extrema = image.rgb.getextrema()  # (lowest, highest) of each channel
        all_constant &= all(lowest == highest for lowest, highest in extrema)
        all_dark &= image.bits == 16 and max(highest for _, highest in extrema) < DARK_LEVEL
        if not all_constant and (not all_dark or looked_at == LOOKED_AT_FOR_DARKNESS):
            break
    if looked_at and all_constant:
        raise UserError(f"{os.path.dirname(paths[0])}: all {looked_at} images are constant, one "
                        f"colour in every pixel, {os.path.basename(paths[0])} for example; "
                        "expected pictures; if their samples do not fill the bits of the file, "
                        f"{SAVE_AS}")
    if looked_at and all_dark:
        print(f"warning: {printable(os.path.dirname(paths[0]))}: the {looked_at} images that were "
              "looked at have 16-bit samples below 4,096, so they are nearly black in 8 bits; if "
              f"they hold 12 bits, {SAVE_AS}", file=sys.stderr)
