"""Folders of images: which files in them are images."""

import os

from utils.common.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")


def find_images(folder):
    """All image files below `folder`, by extension, as sorted paths relative to it; linked folders
    too, hidden ones not."""
    found = []
    for where, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.relpath(os.path.join(where, name), folder) for name in names
                  if name.lower().endswith(EXTENSIONS) and not name.startswith(".")]
    return sorted(found)


def list_images(folder):
    """The same, where there are any; else raises UserError."""
    found = find_images(folder)
    if not found:
        problem = ("no image in this folder (looked for {})".format(" ".join(EXTENSIONS))
                   if os.path.isdir(folder) else "no such folder")
        raise UserError("{}: {}; data/README.md says how to get the images".format(folder, problem))
    return found
