"""Folders that sort images by class, as such or below folders for the sides of a split."""

import collections
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from utils.common.errors import UserError
from utils.images.folders import FoundImages, endings_in_words, find_images, require_images
from utils.images.label_files import LABELS_CSV, Split, check_class_names

# Names of folders for the sides of a split, in small letters. Validation images belong to training:
# nothing here is chosen by validation, and the test images must stay those of the publisher.
TRAINING_FOLDERS = ("train", "training", "val", "valid", "validation")
TEST_FOLDERS = ("test", "testing")

ADVICE = f"a file {LABELS_CSV} with rows file,label says what each image is, in any arrangement"
EXPECTED_FOLDERS = "expected a folder of images for each class"


class FolderSplit(NamedTuple):
    """The split that folders named like its sides give."""

    split: Split
    training_folders: Tuple[str, ...]
    test_folders: Tuple[str, ...]


class ClassFolders(NamedTuple):
    """The images of a data set that is sorted into folders."""

    labels: "collections.OrderedDict[str, str]"  # from file, relative to the folder, to class name
    split: Optional[FolderSplit]  # None where there are no folders for sides


def read_class_folders(folder: str) -> ClassFolders:
    """Read the class of each image below `folder` from the folder that it lies in.

    Below `folder` lie the folders of the classes, or folders named like sides of a split (train,
    training, val, valid, validation; test, testing) with the same class folders in each. More
    levels below the classes are fine where they do not look like the classes' sorting by something
    else. Prints how many files were skipped.
    Raises UserError for every other arrangement, and for a class without an image.
    """
    found = require_images(folder)
    _refuse_loose(folder, found.files)
    top = _names_directly_in("", found.folders)
    training, test = (tuple(name for name in top if name.lower() in names)
                      for names in (TRAINING_FOLDERS, TEST_FOLDERS))
    if (training and test) or set(top) == set(training + test):
        return _read_sides(folder, found, training, test=test)
    _check_classes(folder, found.files, top)
    return ClassFolders(collections.OrderedDict(
        (file, _top_of(file)) for file in found.files), None)


def _read_sides(folder: str, found: FoundImages, training: Tuple[str, ...],
                test: Tuple[str, ...]) -> ClassFolders:
    """Read folders named like sides of a split, each with the same class folders below."""
    files = found.files
    others = [name for name in _names_directly_in("", found.folders)
              if name not in training + test]
    if others:
        raise UserError(f"{folder}: {', '.join(others)} beside {', '.join(training + test)}; "
                        "expected nothing but sides of a split, or nothing but classes; move it "
                        f"away, or {ADVICE}")
    if not (training and test):
        raise UserError(f"{folder}: {', '.join(training + test)} is there, "
                        f"{'test' if training else 'train'} is missing; expected both sides of the "
                        f"split, or a folder for each class; or {ADVICE}")
    files_of = {name: [file for file in files if _top_of(file) == name]
                for name in training + test}
    for name in training + test:
        _check_classes(os.path.join(folder, name),
                       [file[len(name) + 1:] for file in files_of[name]],
                       _names_directly_in(name, found.folders))
    labels = collections.OrderedDict((file, file.split(os.sep)[1]) for file in files)
    split = Split(train=[(file, labels[file]) for file in files if _top_of(file) in training],
                  test=[(file, labels[file]) for file in files if _top_of(file) in test])
    _require_same_classes(folder, split)
    return ClassFolders(labels, FolderSplit(split, training, test))


def _top_of(file: str) -> str:
    """The first folder of a path."""
    return file.split(os.sep)[0]


def _require_same_classes(folder: str, split: Split) -> None:
    """Raise UserError when a class has images on one side of the split alone."""
    train = {label for _, label in split.train}
    test = {label for _, label in split.test}
    for label in sorted(train ^ test):
        side = "train" if label in test else "test"
        raise UserError(f"{folder}: the class {label} has no folder in {side}; expected the same "
                        f"class folders on both sides of the split; or {ADVICE}")


def _check_classes(folder: str, files: Sequence[str], names: Sequence[str]) -> None:
    """Raise UserError unless the folders in `folder` can be classes.

    files: the images below it, relative to it. names: of the folders directly in it.
    """
    _refuse_loose(folder, files)
    subfolders: Dict[str, Set[str]] = {name: set() for name in names}
    with_images = set()
    for file in files:
        name, *below = file.split(os.sep)
        with_images.add(name)
        subfolders[name].update(below[:-1][:1])
    for name in names:
        if name not in with_images:
            skipped = find_images(os.path.join(folder, name)).skipped
            raise UserError(f"{os.path.join(folder, name)}: no image of this class, "
                            f"{endings_in_words(skipped)}; {EXPECTED_FOLDERS}: put its images "
                            "there, as JPEG or PNG for example, or remove the folder")
    check_class_names(folder, names, "rename one of the folders")
    shared = sorted(set.intersection(*subfolders.values())) if len(subfolders) > 1 else []
    if shared:
        raise UserError(f"{folder}: every class has the same folders below it, "
                        f"{', '.join(shared[:5])}; {EXPECTED_FOLDERS}, or folders train and test "
                        f"above the classes; {ADVICE}")
    for name in names:
        again = sorted(subfolders[name] & set(names))
        if again:
            raise UserError(f"{folder}: {again[0]} is a folder beside {name} and below it; "
                            f"{EXPECTED_FOLDERS}, on one level; {ADVICE}")


def _refuse_loose(folder: str, files: Sequence[str]) -> None:
    """Raise UserError when one of the files, relative to `folder`, lies in no folder below it."""
    for file in files:
        if os.sep not in file:
            raise UserError(f"{folder}: {file} lies in no class's folder; {EXPECTED_FOLDERS}, or a "
                            f"file {LABELS_CSV}")


def _names_directly_in(place: str, folders: Sequence[str]) -> List[str]:
    """The names of those of the folders, paths relative to the same one, that lie in `place`."""
    return [os.path.basename(folder) for folder in folders
            if folder and os.path.dirname(folder) == place]
