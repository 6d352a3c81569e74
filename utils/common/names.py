"""Names from command lines, folders and files: which are refused before any work is done.

Names of classes, models, runs and data sets are written into csv, JSON, pictures and paths. Names
of image files are taken as they are, also such that are not UTF-8, unless they command a terminal.
"""

from typing import Optional

from utils.common.errors import UserError
from utils.common.terminal import fault_of_character, printable


def fault_of_name(name: str) -> Optional[str]:
    """Return why a class, model, run or data set cannot have this name, or None where it can."""
    if not name.strip():
        return "is empty"
    return next(filter(None, map(fault_of_character, name)), None)


def fault_of_file_name(name: str) -> Optional[str]:
    """Return why `name` cannot be the name, or a part of the name, of one file; None where it can.

    It must be a fit name, lead to no other folder, and be visible.
    """
    fault = fault_of_name(name)
    if fault:
        return fault
    if "/" in name or name in (".", ".."):
        return "is no plain name but a path"
    if name.startswith("."):
        return "begins with a dot, as hidden files do"
    if name.strip() != name:
        return "begins or ends with a blank"
    return None


def fault_of_image_path(path: str) -> Optional[str]:
    """Return why an image cannot have this path, or None where it can.

    Bytes that are not UTF-8 are fine, control characters are not.
    """
    if path.isprintable():  # a quick answer for nearly all of 100,000 paths
        return None
    faults = [fault_of_character(character) for character in path
              if not "\udc80" <= character <= "\udcff"]  # how Python keeps bytes that are not UTF-8
    return next(filter(None, faults), None)


def require_image_path(path: str, where: str) -> str:
    """Return `path`. Raises UserError where no image can have this path.

    where: the folder or the list that names the image, which begins the message.
    """
    return _require(path, where, fault_of_image_path(path))


def require_name(name: str, where: str) -> str:
    """Return `name`. Raises UserError where no class, model, run or data set can have this name.

    where: what has the name and where it was found, which begins the message.
    """
    return _require(name, where, fault_of_name(name))


def require_file_name(name: str, where: str) -> str:
    """Return `name`. Raises UserError where it cannot be a part of a file's name.

    Whatever comes from a JSON file and becomes part of a path passes this check.
    where: what has the name and where it was found, which begins the message.
    """
    return _require(name, where, fault_of_file_name(name))


def _require(name: str, where: str, fault: Optional[str]) -> str:
    if fault:
        raise UserError(f"{where}: the name '{printable(name)}' {fault}; give it another name")
    return name
