"""The data sets: where each keeps its images, which classes it has, and of which each image is."""

import collections
import os
from typing import NamedTuple, Optional, Tuple

from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.images.class_folders import FolderSplit, read_class_folders
from utils.images.folders import find_images
from utils.images.isic2018 import ISIC2018_CLASSES, ISIC2018_IMAGES, isic2018_labels
from utils.images.label_files import LABELS_CSV, read_labels
from utils.images.presence import check_images_exist

# Folder of each image source below the data folder.
SOURCE_FOLDERS = {
    "open_images_v5": os.path.join("open_images_v5", "test"),
    "ilsvrc2012": "ilsvrc2012",
    "isic2018": ISIC2018_IMAGES,
}


class LabelledImages(NamedTuple):
    """The images of a data set to train on."""

    image_folder: str  # below the data folder
    class_names: Tuple[str, ...]  # in the order of the logits
    labels: "collections.OrderedDict[str, str]"  # from file, relative to image_folder, to class
    folder_split: Optional[FolderSplit] = None  # where folders are named like sides of a split


def labelled_images(data_dir: str, dataset: str) -> LabelledImages:
    """Read the images and classes of a data set to train on.

    dataset: "isic2018", or the name of a folder below `data_dir` that holds folders of images as
    utils.images.class_folders reads them, or images of any arrangement and labels.csv with rows
    file,label. Prints which files are left out.
    Raises UserError.
    """
    if dataset == "isic2018":
        return LabelledImages(ISIC2018_IMAGES, ISIC2018_CLASSES, isic2018_labels(data_dir))
    folder = os.path.join(data_dir, dataset)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: no such folder; expected one with a folder of images for each "
                        f"class, or with images and {LABELS_CSV}")
    if os.path.exists(os.path.join(folder, LABELS_CSV)):
        labels, folder_split = _read_table(data_dir, dataset), None
    else:
        sorted_images = read_class_folders(folder)
        labels, folder_split = sorted_images.labels, sorted_images.split
    class_names = tuple(sorted(set(labels.values())))
    if len(class_names) < 2:
        raise UserError(f"{folder}: all images are of one class, {class_names[0]}; expected two or "
                        "more classes, with a folder for each directly in this one")
    return LabelledImages(dataset, class_names, labels, folder_split=folder_split)


def _read_table(data_dir: str, dataset: str) -> "collections.OrderedDict[str, str]":
    """The labels that labels.csv gives. Prints how many images it does not list."""
    folder = os.path.join(data_dir, dataset)
    table = os.path.join(folder, LABELS_CSV)
    labels = read_labels(table)
    check_images_exist(data_dir, dataset, list(labels), listed_in=table)
    unlisted = set(find_images(folder).files) - {os.path.normpath(file) for file in labels}
    if unlisted:
        print(f"{printable(table)}: {len(labels)} images are listed; left out are {len(unlisted)} "
              f"that are not, {printable(min(unlisted))} for example")
    return labels
