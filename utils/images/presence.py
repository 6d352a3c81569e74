"""Images that are not there or cannot be reached: what is probably wrong, and what to do."""

import errno
import os
from typing import Sequence

from utils.common.errors import UserError
from utils.images.folders import EXTENSIONS

HOW_TO_GET = "data/README.md says how to get the data set"


def check_images_exist(data_dir: str, image_folder: str, files: Sequence[str],
                       listed_in: str) -> None:
    """Raise UserError when `files`, listed in the file `listed_in`, are not all in the folder.

    image_folder: below `data_dir`. The message says what to do where the files are there under
    other names: without their ending, with backslashes, or from another folder.
    """
    folder = os.path.join(data_dir, image_folder)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; {HOW_TO_GET}")
    missing = [file for file in files if not os.path.lexists(os.path.join(folder, file))]
    if missing:
        raise UserError(f"{folder}: {len(missing)} of {len(files)} images listed in {listed_in} "
                        f"are missing, the first is {missing[0]}; "
                        f"{_probable_mend(folder, missing[0])}")


def _probable_mend(folder: str, file: str) -> str:
    """What to do about a file that is not there."""
    for extension in EXTENSIONS:
        for ending in (extension, extension.upper()):
            if os.path.exists(os.path.join(folder, file + ending)):
                return f"{file}{ending} is there: write the names with their ending"
    for other in (file.replace("\\", "/"), os.path.basename(file.replace("\\", "/"))):
        if other != file and os.path.exists(os.path.join(folder, other)):
            return f"{other} is there: write the paths relative to the folder, with / between"
    return HOW_TO_GET


def cannot_be_read(path: str, error: OSError) -> UserError:
    """Return the UserError for an image file that the system cannot read.

    Such an image is not called broken: that its contents are no image is not known, and a later
    attempt may succeed.
    """
    mend = ("mend the disk, the connection, the limit or the permissions, then give the same "
            "command")
    if error.errno == errno.ENOENT:
        mend = ("get the image again, mend the link, or remove it from the folder or the list, "
                "then give the same command")
    return UserError(f"{path}: cannot be read ({error.strerror or error}), so nothing is known of "
                     f"this image; {mend}")
