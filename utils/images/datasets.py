"""Where each data set keeps its images and labels, in the layout its publisher ships."""

import collections
import os

from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.images.folders import list_images

ISIC2018_CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
ISIC2018_IMAGES = os.path.join("isic2018", "ISIC2018_Task3_Training_Input")
ISIC2018_GROUND_TRUTH = "ISIC2018_Task3_Training_GroundTruth"
ISIC2018_LESIONS = "ISIC2018_Task3_Training_LesionGroupings"
ISIC2018_MISSING = "ISIC_0035068.jpg"  # one copy in circulation lists this image and lacks it

# Folder of each image source below the data folder.
SOURCES = {"open_images_v5": os.path.join("open_images_v5", "test"), "ilsvrc2012": "ilsvrc2012",
           "isic2018": ISIC2018_IMAGES}

LABELS = "labels.csv"  # in the folder of a data set whose images are not sorted by class

# Images to train on. image_folder: below the data folder. class_names: in the order of the logits.
# labels: OrderedDict from file, relative to image_folder, to class name.
Labelled = collections.namedtuple("Labelled", "image_folder class_names labels")

HOW_TO_GET = "data/README.md says how to get the data set"


def read_labels(path):
    """The rows file,label of a csv file, which may begin with just that as a header.

    Returns an OrderedDict from file to class name. Raises UserError.
    """
    mend = "expected rows file,label, one for each image"
    rows = read_csv(path, None, mend)
    rows = rows[1:] if rows[:1] == [["file", "label"]] else rows
    for row in rows:
        if len(row) != 2 or not all(row):
            raise UserError("{}: row {}; {}".format(path, ",".join(row), mend))
    return _unique(path, rows, mend)


def _unique(path, rows, mend):
    """The rows (file, class name) of the csv file `path` as an OrderedDict. Raises UserError."""
    labels = collections.OrderedDict(rows)
    if len(labels) < len(rows):
        twice = collections.Counter(file for file, _ in rows).most_common(1)[0][0]
        raise UserError("{}: {} appears twice; {}".format(path, twice, mend))
    if not rows:
        raise UserError("{}: no rows; {}".format(path, mend))
    return labels


def isic2018_csv(data_dir, name):
    """Where that csv file of ISIC2018 lies: in its folder, or in that of the ground truth."""
    root = os.path.join(data_dir, "isic2018")
    paths = [os.path.join(root, *below, name + ".csv") for below in ([], [ISIC2018_GROUND_TRUTH])]
    return next(filter(os.path.exists, paths), paths[0])


def isic2018_labels(data_dir):
    """The ground truth of ISIC2018 Task 3, in the order of its csv.

    Returns an OrderedDict from file name (ISIC_0024306.jpg) to class name.
    Raises UserError when a file is missing, a row does not name one class, or an image is missing.
    """
    path, rows = isic2018_csv(data_dir, ISIC2018_GROUND_TRUTH), []
    for row in read_csv(path, ("image",) + ISIC2018_CLASSES, HOW_TO_GET):
        classes = [c for c in ISIC2018_CLASSES if row[c] in ("1.0", "1")]
        if len(classes) != 1:
            raise UserError("{}: image {} has {} classes, expected exactly one column with 1.0; {}"
                            .format(path, row["image"], len(classes), HOW_TO_GET))
        rows.append(("{}.jpg".format(row["image"]), classes[0]))
    labels = _unique(path, rows, HOW_TO_GET)
    if not os.path.exists(os.path.join(data_dir, ISIC2018_IMAGES, ISIC2018_MISSING)):
        labels.pop(ISIC2018_MISSING, None)
    check_images_exist(data_dir, ISIC2018_IMAGES, labels, path)
    return labels


def isic2018_lesions(data_dir):
    """The lesion that each ISIC2018 image shows: dict from file name to lesion id. UserError."""
    rows = read_csv(
        isic2018_csv(data_dir, ISIC2018_LESIONS), ("image", "lesion_id"), HOW_TO_GET)
    return {"{}.jpg".format(row["image"]): row["lesion_id"] for row in rows}


def check_images_exist(data_dir, image_folder, files, listed_in):
    """Raise UserError when `files`, listed in the file `listed_in`, are not all in the folder."""
    folder = os.path.join(data_dir, image_folder)
    if not os.path.isdir(folder):
        raise UserError("{}: no such folder; {}".format(folder, HOW_TO_GET))
    missing = [file for file in files if not os.path.lexists(os.path.join(folder, file))]
    if missing:
        raise UserError("{}: {} of {} images listed in {} are missing, the first is {}; {}".format(
            folder, len(missing), len(files), listed_in, missing[0], HOW_TO_GET))


def labelled_images(data_dir, dataset):
    """The images and classes of a data set to train on.

    dataset: "isic2018", or the name of a folder below `data_dir` that holds a folder of images for
    each class, or images of any arrangement and labels.csv with rows file,label.
    Returns a Labelled. Raises UserError.
    """
    if dataset == "isic2018":
        return Labelled(ISIC2018_IMAGES, ISIC2018_CLASSES, isic2018_labels(data_dir))
    folder = os.path.join(data_dir, dataset)
    table = os.path.join(folder, LABELS)
    if not os.path.isdir(folder):
        raise UserError("{}: no such folder; expected one with a folder of images for each class, "
                        "or with images and {}".format(folder, LABELS))
    if os.path.exists(table):
        labels = read_labels(table)
        check_images_exist(data_dir, dataset, labels, table)
    else:
        labels = collections.OrderedDict((file, file.split(os.sep)[0])
                                         for file in list_images(folder))
        loose = [file for file in labels if os.sep not in file]
        if loose:
            raise UserError("{}: {} lies in no class's folder; expected a folder of images for "
                            "each class, or a file {}".format(folder, loose[0], LABELS))
    class_names = tuple(sorted(set(labels.values())))
    if len(class_names) < 2:
        raise UserError("{}: all images are of one class, {}; expected two or more classes".format(
            folder, class_names[0]))
    return Labelled(dataset, class_names, labels)
