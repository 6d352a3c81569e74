"""Which labelled images are for training and which for the test."""

import collections
import csv
import io
import os

import numpy as np

from utils.datasets import read_csv
from utils.errors import UserError
from utils.files import write_text

TEST_SHARE = 0.3  # of the images: 3,015 of 10,015 in the authors' published split

Split = collections.namedtuple("Split", "train test")  # two lists of (file, class name)


def image_split(labels, seed):
    """Split images 70/30, each class in the same proportion (two images of a lesion may part).

    labels: dict from file name to class name. Returns a Split. Raises UserError.
    """
    from sklearn.model_selection import train_test_split

    rows = list(labels.items())
    try:
        train, test = train_test_split(
            rows, test_size=TEST_SHARE, random_state=seed, stratify=[label for _, label in rows])
    except ValueError as error:
        raise UserError("cannot split {} images 70/30 by class: {}".format(len(rows), error))
    return Split(train, test)


def lesion_split(labels, lesions, seed):
    """Split so that no lesion has images on both sides: of each class, about 30 % for the test.

    labels: dict from file name to class name. lesions: dict from file name to lesion id; the
    first image of a lesion decides its class. Returns a Split. Raises UserError when an image has
    no lesion, or a class only one.
    """
    rows = list(labels.items())
    without = [file for file, _ in rows if not lesions.get(file)]
    if without:
        raise UserError(
            "the lesion groupings lack {} of {} images, the first is {}; use the official csv, or "
            "--split image".format(len(without), len(rows), without[0]))
    images_of = collections.OrderedDict()  # of each class: how many images each lesion has
    class_of = {}
    for file, label in rows:
        label = class_of.setdefault(lesions[file], label)
        images_of.setdefault(label, collections.Counter())[lesions[file]] += 1
    random = np.random.RandomState(seed)
    in_test = set()
    for label, counts in images_of.items():
        if len(counts) < 2:
            raise UserError("cannot split {} images by lesion: all images of {} show one lesion; "
                            "use --split image".format(len(rows), label))
        wanted = TEST_SHARE * sum(counts.values())
        names = sorted(counts)
        for name in (names[i] for i in random.permutation(len(names))[1:]):  # one for training
            if wanted <= 0:
                break
            in_test.add(name)
            wanted -= counts[name]
    return Split([row for row in rows if lesions[row[0]] not in in_test],
                 [row for row in rows if lesions[row[0]] in in_test])


def folder_split(folder, labels):
    """Read train.csv and test.csv, rows `file,label` without a header.

    The authors' published lists, train_pre.csv and test_pre.csv, are read where those are not.
    labels: dict from file name to class name, against which each row is checked.
    Returns a Split. Raises UserError.
    """
    names = ["train.csv", "test.csv"]
    if not os.path.exists(os.path.join(folder, names[0])):
        published = [name.replace(".csv", "_pre.csv") for name in names]
        names = published if os.path.exists(os.path.join(folder, published[0])) else names
    split = Split(*(read_rows(os.path.join(folder, name)) for name in names))
    seen = set()
    for name, rows in zip(names, split):
        path = os.path.join(folder, name)
        for file, label in rows:
            if labels.get(file) != label:
                raise UserError("{}: {} is labelled {}, the ground truth says {}".format(
                    path, file, label, labels.get(file, "nothing of this image")))
            if file in seen:
                raise UserError("{}: {} is listed twice; an image belongs on one side".format(
                    path, file))
            seen.add(file)
    return split


def read_rows(path):
    """Read rows `file,label` without a header: a list of (file, class name). Raises UserError."""
    rows = read_csv(path, None, "expected rows file,label without a header")
    if not rows:
        raise UserError("{}: empty; expected rows file,label without a header".format(path))
    bad = next((row for row in rows if len(row) != 2), None)
    if bad:
        raise UserError("{}: row {} has {} cells; expected file,label".format(
            path, ",".join(bad), len(bad)))
    return [tuple(row) for row in rows]


def write_rows(path, rows):
    """Write rows `file,label`, so that the folder can be given to --split again."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def limit_rows(rows, limit, seed):
    """At most `limit` rows, drawn with `seed` in the proportion of the classes; order kept.

    Every class keeps at least one row while `limit` allows it. limit None keeps all.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    order = np.random.RandomState(seed).permutation(len(rows))
    members = collections.OrderedDict()
    for index in order:
        members.setdefault(rows[index][1], []).append(index)
    # The i-th of n rows of a class stands at i / n of the way: taking the earliest keeps shares.
    places = [(i / len(group), label, index)
              for label, group in members.items() for i, index in enumerate(group)]
    chosen = sorted(index for _, _, index in sorted(places)[:limit])
    return [rows[index] for index in chosen]
