"""Which labelled images are for training and which for the test."""

import collections
import os

import numpy as np

from utils.common.errors import UserError
from utils.images.datasets import read_labels

TEST_SHARE = 0.3  # of the images: 3,015 of 10,015 in the authors' published split

Split = collections.namedtuple("Split", "train test")  # two lists of (file, class name)


def image_split(labels, seed):
    """Split images 70/30, each class in the same proportion (two images of a lesion may part).

    labels: dict from file name to class name. Returns a Split. Raises UserError.
    """
    from sklearn.model_selection import train_test_split

    try:
        return Split(*train_test_split(list(labels.items()), test_size=TEST_SHARE,
                                       random_state=seed, stratify=list(labels.values())))
    except ValueError as error:
        raise UserError("cannot split {} images 70/30 by class: {}".format(len(labels), error))


def lesion_split(labels, lesions, seed):
    """Split so that no lesion has images on both sides: of each class, about 30 % for the test.

    labels: dict from file name to class name. lesions: dict from file name to lesion id; the
    first image of a lesion decides its class. Returns a Split. Raises UserError when an image has
    no lesion, or a class only one.
    """
    without = [file for file in labels if not lesions.get(file)]
    if without:
        raise UserError(
            "the lesion groupings lack {} of {} images, the first is {}; use the official csv, or "
            "--split image".format(len(without), len(labels), without[0]))
    images_of = collections.Counter(lesions[file] for file in labels)  # of each lesion
    lesions_of = collections.OrderedDict()  # of each class
    class_of, in_test, random = {}, set(), np.random.RandomState(seed)
    for file, label in labels.items():
        label = class_of.setdefault(lesions[file], label)
        lesions_of.setdefault(label, set()).add(lesions[file])
    for label, names in lesions_of.items():
        if len(names) < 2:
            raise UserError("cannot split {} images by lesion: all images of {} show one lesion; "
                            "use --split image".format(len(labels), label))
        wanted = TEST_SHARE * sum(images_of[name] for name in names)
        names = sorted(names)
        for i in random.permutation(len(names))[1:]:  # one is for training
            if wanted > 0:
                in_test.add(names[i])
                wanted -= images_of[names[i]]
    return Split(*([row for row in labels.items() if (lesions[row[0]] in in_test) == is_test]
                   for is_test in (False, True)))


def folder_split(folder, labels):
    """Read train.csv and test.csv, or the authors' train_pre.csv and test_pre.csv.

    Their rows are file,label. labels: dict from file name to class name, with which each row must
    agree. Returns a Split. Raises UserError.
    """
    paths, published = ([os.path.join(folder, side + end) for side in Split._fields]
                        for end in (".csv", "_pre.csv"))
    if os.path.exists(published[0]) and not os.path.exists(paths[0]):
        paths = published
    split = Split(*(list(read_labels(path).items()) for path in paths))
    for path, rows in zip(paths, split):
        for file, label in rows:
            if labels.get(file) != label:
                raise UserError("{}: {} is labelled {}, the ground truth says {}".format(
                    path, file, label, labels.get(file, "nothing of this image")))
    both = sorted(set(split.train) & set(split.test))
    if both:
        raise UserError("{}: {} is in {} too; an image belongs on one side".format(
            paths[1], both[0][0], os.path.basename(paths[0])))
    return split


def limit_rows(rows, limit, seed):
    """At most `limit` rows, drawn with `seed` in the proportion of the classes; order kept.

    Every class keeps at least one row while `limit` allows it. limit None keeps all.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    members = collections.OrderedDict()
    for index in np.random.RandomState(seed).permutation(len(rows)):
        members.setdefault(rows[index][1], []).append(index)
    # The i-th of n rows of a class stands at i / n of the way: taking the earliest keeps shares.
    places = sorted((i / len(group), label, index)
                    for label, group in members.items() for i, index in enumerate(group))
    return [rows[index] for index in sorted(index for _, _, index in places[:limit])]
