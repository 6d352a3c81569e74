"""The pictures that a report has: drawn into its folder under names of their own."""

import os
import re
from typing import Any, Callable, List, Optional, Set

from utils.common.hashes import sha256_of_lines
from utils.report.document import Picture


def picture_name(*parts: str) -> str:
    """Return the name of a picture's file: parts with hyphens between them, from any file.

    What is neither a letter of ASCII nor a digit, dot, hyphen or underscore becomes an underscore;
    then digits of the SHA-256 of what was there keep equal names apart.
    """
    wanted = "-".join(parts)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", wanted)
    if name != wanted:
        name += "-" + sha256_of_lines([wanted])[:8]
    return name + ".png"


class Gallery:
    """The pictures in the folder of a report."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._drawn: Set[str] = set()

    def draw(self, parts: List[str], alternative: str, function: Callable[..., Optional[str]],
             **arguments: Any) -> Picture:
        """Draw a picture and return it as a block.

        parts: of its name. function: of utils.report.pictures, called with the path and the
        arguments.
        """
        name = picture_name(*parts)
        note = function(os.path.join(self.folder, name), **arguments)
        self._drawn.add(name)
        return Picture(name, alternative, note)

    def path(self, picture: Picture) -> str:
        """Return where a picture lies."""
        return os.path.join(self.folder, picture.file)

    def remove_others(self) -> None:
        """Remove the pictures of an earlier report."""
        for name in os.listdir(self.folder) if os.path.isdir(self.folder) else ():
            if name not in self._drawn and name.endswith(".png"):
                os.remove(os.path.join(self.folder, name))
