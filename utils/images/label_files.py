"""Csv files of rows file,label: the class of each image, and the two sides of a split."""

import collections
import os
from typing import Dict, List, NamedTuple, Sequence, Tuple

from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.common.names import require_image_path, require_name

LabelledFiles = List[Tuple[str, str]]  # of images: (file, class name)
LABELS_CSV = "labels.csv"  # in the folder of a data set whose images are not sorted by class
LABELS_HEADER = ["file", "label"]
EXPECTED_ROWS = "expected rows file,label, one for each image"

# Words that head the columns of tables that people have. A file's name has an ending besides.
HEADINGS = {"file", "filename", "file_name", "image", "image_id", "image_name", "img", "id", "name",
            "path", "filepath", "file_path", "label", "labels", "class", "category", "diagnosis",
            "dx", "target", "lesion_id", ""}


class Split(NamedTuple):
    """Which images are for training, and which for the test."""

    train: LabelledFiles
    test: LabelledFiles


def read_labels(path: str) -> "collections.OrderedDict[str, str]":
    """Read the rows file,label of a csv file that somebody wrote, maybe with that header.

    Blanks around the cells do not count, nor do rows of empty cells. Returns an OrderedDict from
    file to class name. Raises UserError, which says what to do, when a row is none of these, a file
    appears twice, or two names of classes differ in nothing but capital letters.
    """
    rows = read_csv(path, None, EXPECTED_ROWS)
    if rows and [cell.lower() for cell in rows[0]] == LABELS_HEADER:
        del rows[0]
    elif rows and _is_header(rows[0]):
        raise UserError(f"{path}: the first row, {','.join(rows[0])}, is a header; "
                        f"{EXPECTED_ROWS}, with file,label as the header or with none: keep the "
                        "column of the files' names and that of the classes")
    for number, row in enumerate(rows, 1):
        _check_row(path, number, row)
    labels = unique_labels(path, [(file, label) for file, label in rows], EXPECTED_ROWS)
    check_class_names(path, list(labels.values()), "give each class one name")
    return labels


def _is_header(row: Sequence[str]) -> bool:
    """Whether a row consists of headings, such as image,label, and names no file."""
    lower = [cell.lower() for cell in row]
    return len(row) > 1 and lower[1] in HEADINGS and lower[0] in HEADINGS


def _check_row(path: str, number: int, row: Sequence[str]) -> None:
    """Raise UserError unless a row of labels.csv names a file below its folder and a class."""
    text = ",".join(row)
    if len(row) == 1 and (";" in text or "\t" in text):
        raise UserError(f"{path}: row {text}; {EXPECTED_ROWS}: save it with commas between the "
                        "cells")
    if len(row) != 2 or not all(row):
        raise UserError(f"{path}: row {text}; {EXPECTED_ROWS}")
    file, label = row
    if label.lower() == "nan":
        raise UserError(f"{path}: row {text} has no class, but what a table program writes for an "
                        f"empty cell; {EXPECTED_ROWS}: fill it in or remove the row")
    require_image_path(file, f"{path}: an image")
    if os.path.isabs(file) or ".." in file.split("/"):
        raise UserError(f"{path}: row {text} leads out of the folder; {EXPECTED_ROWS}, with the "
                        "file's path relative to the folder of the images")


def unique_labels(path: str, rows: LabelledFiles, mend: str) -> "collections.OrderedDict[str, str]":
    """Return rows (file, class name) as an OrderedDict from file to class name.

    path: of the csv file that they come from. mend: to end the message. Raises UserError when a
    file appears twice, under whatever spelling of its path, or when there are no rows.
    """
    if not rows:
        raise UserError(f"{path}: no rows; {mend}")
    spellings: Dict[str, str] = {}
    for file, _ in rows:
        place = os.path.normpath(file)
        if place in spellings:
            also = "" if spellings[place] == file else f", also as {spellings[place]}"
            raise UserError(f"{path}: {file} appears twice{also}; {mend}")
        spellings[place] = file
    return collections.OrderedDict(rows)


def check_class_names(where: str, labels: Sequence[str], mend: str) -> None:
    """Raise UserError unless each class can have its name, and no two are meant to be one.

    where: the names come from. labels: of the images, or of folders. mend: to end the message.
    """
    spellings: Dict[str, str] = {}
    for name in sorted(set(labels)):
        require_name(name, f"{where}: a class")
        other = spellings.setdefault(name.strip().lower(), name)
        if other != name:
            raise UserError(f"{where}: the classes '{other}' and '{name}' differ in nothing but "
                            f"capital letters or blanks; {mend}")
