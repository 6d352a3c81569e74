"""Folders of images: which files in them are images, by their ending, and which are passed over."""

import collections
import errno
import os
from typing import Dict, List, NamedTuple, Tuple

from utils.common.errors import UserError
from utils.common.names import require_image_path
from utils.common.terminal import printable

# Of the formats that utils.images.decoding decodes.
EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".gif")
NO_ENDING, NO_FILE = "without an ending", "pipe, socket or device"  # where endings are counted


FoldersAbove = Tuple[Tuple[int, int], ...]  # (device, number) of each folder on the way


class FoundImages(NamedTuple):
    """The files below a folder."""

    files: List[str]  # images, as sorted paths relative to the folder
    folders: List[str]  # that were searched, as sorted paths relative to it
    skipped: Dict[str, int]  # how many other files there are, by their ending


def find_images(folder: str) -> FoundImages:
    """Find all image files below `folder`, by their ending.

    Folders that are linked are searched too, but each real folder only once along a path: a link
    that leads back to a folder above it leads nowhere new. Hidden files and folders, whose names
    begin with a dot, do not count at all. A link whose file is missing counts as an image, so that
    it is missed. A folder that does not exist has no files.
    Raises UserError when a folder cannot be listed.
    """
    files: List[str] = []
    searched: List[str] = []
    skipped: Dict[str, int] = collections.Counter()
    to_search: List[Tuple[str, FoldersAbove]] = [("", ())]
    while to_search:
        place, above = to_search.pop()
        path = os.path.join(folder, place)
        try:
            status = os.stat(path)
            real_folder = (status.st_dev, status.st_ino)
            if real_folder in above:
                continue
            searched.append(place)
            for entry in os.scandir(path):
                below = os.path.join(place, entry.name)
                if entry.name.startswith("."):
                    continue
                if _leads_to_folder(entry):
                    to_search.append((below, above + (real_folder,)))
                elif not entry.name.lower().endswith(EXTENSIONS):
                    skipped[os.path.splitext(entry.name)[1].lower() or NO_ENDING] += 1
                elif entry.is_symlink() or entry.is_file():
                    files.append(below)
                else:  # a pipe, a socket or a device
                    skipped[NO_FILE] += 1
        except FileNotFoundError:
            if place:
                raise UserError(f"{path}: this folder went away while it was read; give the same "
                                "command again")
            break
        except OSError as error:
            raise UserError(f"{path}: this folder cannot be listed ({error.strerror}); mend the "
                            "disk, the connection or the permissions")
    return FoundImages(sorted(files), sorted(searched), dict(skipped))


def _leads_to_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise


def list_images(folder: str) -> List[str]:
    """Return the images below `folder`, as sorted paths relative to it; see require_images."""
    return require_images(folder).files


def require_images(folder: str) -> FoundImages:
    """Find the images below `folder` as find_images does, where there are some.

    Prints in one line how many files were passed over, by their ending, where there are any.
    Raises UserError when there is no image or no folder, or the name of an image holds a control
    character.
    """
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; data/README.md says how to get the images")
    found = find_images(folder)
    if not found.files:
        raise UserError(f"{folder}: no image in this folder, {endings_in_words(found.skipped)} "
                        f"(looked for {' '.join(EXTENSIONS)}); data/README.md says how to get the "
                        "images")
    for file in found.files:
        require_image_path(file, f"{folder}: an image")
    if found.skipped:
        print(f"{printable(folder)}: {len(found.files)} images; skipped are "
              f"{endings_in_words(found.skipped)} (images end in {' '.join(EXTENSIONS)})")
    return found


def endings_in_words(skipped: Dict[str, int]) -> str:
    """Return, for a message, the number of files and the number of each ending."""
    endings = sorted(skipped.items(), key=lambda ending: (-ending[1], ending[0]))
    numbers = ", ".join(f"{count} {printable(ending)}" for ending, count in endings)
    total = sum(skipped.values())
    return f"{total} other file{'' if total == 1 else 's'}" + (f": {numbers}" if numbers else "")
