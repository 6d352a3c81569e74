"""ISIC2018 Task 3 as its publisher ships it: images, ground truth and lesion groupings."""

import collections
import os
from typing import Dict

from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.images.label_files import unique_labels
from utils.images.presence import HOW_TO_GET, check_images_exist

ISIC2018_CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
ISIC2018_IMAGES = os.path.join("isic2018", "ISIC2018_Task3_Training_Input")
ISIC2018_GROUND_TRUTH = "ISIC2018_Task3_Training_GroundTruth"
ISIC2018_LESIONS = "ISIC2018_Task3_Training_LesionGroupings"
ISIC2018_MISSING = "ISIC_0035068.jpg"  # one copy in circulation lists this image and lacks it


def isic2018_csv(data_dir: str, name: str) -> str:
    """Return where that csv file of ISIC2018 lies: in its folder, or in that of the ground truth.

    name: of the file, without its ending.
    """
    root = os.path.join(data_dir, "isic2018")
    paths = [os.path.join(root, name + ".csv"),
             os.path.join(root, ISIC2018_GROUND_TRUTH, name + ".csv")]
    return next(filter(os.path.exists, paths), paths[0])


def isic2018_labels(data_dir: str) -> "collections.OrderedDict[str, str]":
    """Read the ground truth of ISIC2018 Task 3, in the order of its csv.

    Returns an OrderedDict from file name (ISIC_0024306.jpg) to class name.
    Raises UserError when a file is missing, a row does not name one class, or an image is missing.
    """
    path, rows = isic2018_csv(data_dir, ISIC2018_GROUND_TRUTH), []
    for row in read_csv(path, ("image",) + ISIC2018_CLASSES, HOW_TO_GET):
        classes = [name for name in ISIC2018_CLASSES if row[name] in ("1.0", "1")]
        if len(classes) != 1:
            raise UserError(f"{path}: image {row['image']} has {len(classes)} classes, expected "
                            f"exactly one column with 1.0; {HOW_TO_GET}")
        rows.append((f"{row['image']}.jpg", classes[0]))
    labels = unique_labels(path, rows, HOW_TO_GET)
    if not os.path.exists(os.path.join(data_dir, ISIC2018_IMAGES, ISIC2018_MISSING)):
        labels.pop(ISIC2018_MISSING, None)
    check_images_exist(data_dir, ISIC2018_IMAGES, list(labels), listed_in=path)
    return labels


def isic2018_lesions(data_dir: str) -> Dict[str, str]:
    """Read which lesion each ISIC2018 image shows: dict from file name to lesion id.

    Raises UserError when the csv file is missing or wrong.
    """
    rows = read_csv(
        isic2018_csv(data_dir, ISIC2018_LESIONS), ("image", "lesion_id"), HOW_TO_GET)
    return {f"{row['image']}.jpg": row["lesion_id"] for row in rows}
