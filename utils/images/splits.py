"""Which labelled images are for training and which for the test."""

import collections
import os
import sys
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.images.copies import copies_across_split
from utils.images.datasets import LabelledImages
from utils.images.isic2018 import isic2018_lesions
from utils.images.label_files import LabelledFiles, Split, read_labels

TEST_SHARE = 0.3  # of the images: 3,015 of 10,015 in the authors' published split


def make_split(wanted: Optional[str], dataset: LabelledImages, data_dir: str,
               limit: Optional[int], seed: int) -> Split:
    """Split the images of a data set as somebody wants it.

    wanted: "image" (70/30 by class), "lesion" (the same, no lesion on both sides), the path of a
    folder with the lists of both sides, or None: the sides that the data set's folders give, else
    "image". limit: at most so many images of each side, or None.
    Prints what the folders give, and how many test images are copies of training images.
    Raises UserError.
    """
    if wanted is None and dataset.folder_split is not None:
        folders = dataset.folder_split
        split = folders.split
        print(printable(
            f"{dataset.image_folder}: split by its folders: {len(split.train)} training images in "
            f"{', '.join(folders.training_folders)}; {len(split.test)} test images in "
            f"{', '.join(folders.test_folders)}"))
    elif wanted in (None, "image"):
        split = image_split(dataset.labels, seed)
    elif wanted == "lesion":
        split = lesion_split(dataset.labels, isic2018_lesions(data_dir), seed)
    elif os.path.isdir(wanted):
        split = folder_split(wanted, dataset.labels)
        _require_all_classes(wanted, split.train, dataset.labels)
    else:
        raise UserError(f"--split {wanted}: expected image, lesion, or a folder with train.csv and "
                        "test.csv")
    split = Split(train=limit_rows(split.train, limit, seed),
                  test=limit_rows(split.test, limit, seed))
    _warn_of_copies(os.path.join(data_dir, dataset.image_folder), split)
    return split


def _require_all_classes(folder: str, train: LabelledFiles, labels: Dict[str, str]) -> None:
    """Raise UserError when the training list in `folder` lacks a class of the data set."""
    counts = collections.Counter(labels.values())
    missing = sorted(set(counts) - {label for _, label in train})
    if missing:
        raise UserError(f"{folder}: the training list has none of the {counts[missing[0]]} images "
                        f"of {missing[0]}; expected images of every class, which the network has "
                        "an output for; list some, or take the class out of the data set")


def _warn_of_copies(folder: str, split: Split) -> None:
    """Say by name that images are on both sides.

    They are not refused: in a data set that was published they are part of what is reproduced.
    """
    copies = copies_across_split(folder, split)
    if copies:
        share = len(copies) / len(split.test)
        print(printable(
            f"warning: {folder}: {len(copies)} of {len(split.test)} test images are training "
            f"images too, with equal bytes: {copies[0].test} is {copies[0].train}; the accuracy on "
            f"the test images is too high by up to {share:.1%}; where these copies are yours, "
            "remove one of each pair"), file=sys.stderr)


def image_split(labels: Dict[str, str], seed: int) -> Split:
    """Split images 70/30, each class in the same proportion (two images of a lesion may part).

    labels: dict from file name to class name. Raises UserError when a class has too few images.
    """
    from sklearn.model_selection import train_test_split

    counts = collections.Counter(labels.values())
    small = min(counts, key=lambda name: (counts[name], name))
    number = f"{counts[small]} image{'' if counts[small] == 1 else 's'}"
    few = (f"cannot split {len(labels)} images 70/30 by class: the class {small} has {number}; "
           "expected enough for both sides, 4 or more; add images, leave the class out, or give "
           "--split a folder with train.csv and test.csv")
    if counts[small] < 2:
        raise UserError(few)
    try:
        split = Split(*train_test_split(list(labels.items()), test_size=TEST_SHARE,
                                        random_state=seed, stratify=list(labels.values())))
    except ValueError:  # of so few images not one of each class would be on each side
        raise UserError(few)
    for rows in split:
        if len({label for _, label in rows}) < len(counts):
            raise UserError(few)
    return split


def lesion_split(labels: Dict[str, str], lesions: Dict[str, str], seed: int) -> Split:
    """Split so that no lesion has images on both sides: of each class, about 30 % for the test.

    labels: dict from file name to class name. lesions: dict from file name to lesion id; the first
    image of a lesion decides its class.
    Raises UserError when an image has no lesion, or a class only one.
    """
    without = [file for file in labels if not lesions.get(file)]
    if without:
        raise UserError(f"the lesion groupings lack {len(without)} of {len(labels)} images, the "
                        f"first is {without[0]}; use the official csv, or --split image")
    images_of_lesion = collections.Counter(lesions[file] for file in labels)
    class_of_lesion: Dict[str, str] = {}
    lesions_of_class: Dict[str, Set[str]] = collections.OrderedDict()
    for file, label in labels.items():
        label = class_of_lesion.setdefault(lesions[file], label)
        lesions_of_class.setdefault(label, set()).add(lesions[file])
    in_test: Set[str] = set()
    random = np.random.RandomState(seed)
    for label, names in lesions_of_class.items():
        if len(names) < 2:
            raise UserError(f"cannot split {len(labels)} images by lesion: all images of {label} "
                            "show one lesion; use --split image")
        wanted = TEST_SHARE * sum(images_of_lesion[name] for name in names)
        ordered = sorted(names)
        for index in random.permutation(len(ordered))[1:]:  # one is for training
            if wanted > 0:
                in_test.add(ordered[index])
                wanted -= images_of_lesion[ordered[index]]
    return Split(train=[row for row in labels.items() if lesions[row[0]] not in in_test],
                 test=[row for row in labels.items() if lesions[row[0]] in in_test])


def folder_split(folder: str, labels: Dict[str, str]) -> Split:
    """Read train.csv and test.csv, or the authors' train_pre.csv and test_pre.csv.

    Their rows are file,label. labels: dict from file name to class name, with which each row must
    agree. Raises UserError.
    """
    train_path, test_path = (os.path.join(folder, name) for name in ("train.csv", "test.csv"))
    published = os.path.join(folder, "train_pre.csv")
    if os.path.exists(published) and not os.path.exists(train_path):
        train_path, test_path = published, os.path.join(folder, "test_pre.csv")
    split = Split(train=list(read_labels(train_path).items()),
                  test=list(read_labels(test_path).items()))
    for path, rows in ((train_path, split.train), (test_path, split.test)):
        for file, label in rows:
            if labels.get(file) != label:
                truth = labels.get(file, "nothing of this image")
                raise UserError(f"{path}: {file} is labelled {label}, the ground truth says "
                                f"{truth}; expected the labels of the data set")
    both = sorted(set(split.train) & set(split.test))
    if both:
        file, _ = both[0]
        raise UserError(f"{test_path}: {file} is in {os.path.basename(train_path)} too; an image "
                        "belongs on one side")
    return split


def limit_rows(rows: LabelledFiles, limit: Optional[int], seed: int) -> LabelledFiles:
    """Return at most `limit` rows, drawn with `seed` in the proportion of the classes; order kept.

    Every class keeps at least one row while `limit` allows it. limit None keeps all.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    members: Dict[str, List[int]] = collections.OrderedDict()
    for index in np.random.RandomState(seed).permutation(len(rows)):
        members.setdefault(rows[index][1], []).append(index)
    # The i-th of n rows of a class stands at i / n of the way: taking the earliest keeps shares.
    places: List[Tuple[float, str, int]] = []
    for label, group in members.items():
        places += [(rank / len(group), label, index) for rank, index in enumerate(group)]
    kept = sorted(index for _, _, index in sorted(places)[:limit])
    return [rows[index] for index in kept]
