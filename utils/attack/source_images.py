"""The images that a UAP is made from: which, in which order drawn, and how they are read."""

import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import numpy as np

from utils.attack.passes import ReadSourceImages
from utils.classifier.description import ClassifierDescription
from utils.classifier.saved_classifier import read_split_side
from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.images import datasets
from utils.images.decoding import BrokenImage
from utils.images.folders import list_images
from utils.images.pixels import to_model_input
from utils.images.presence import check_images_exist
from utils.images.reading import look_over, read_ahead

NO_IMAGES = "none"  # the --source of an attack without images


class ImageSource(NamedTuple):
    """Where the images of a run come from: a data set by its name, or any folder of images.

    dataset: one of datasets.SOURCE_FOLDERS, the data set that the model was trained on, or
    NO_IMAGES; None where there is a folder. folder: its path, None where there is a data set.
    """

    dataset: Optional[str]
    folder: Optional[str]

    @property
    def name(self) -> str:
        """Return the source as results name it: a folder ends with /, and so is no data set."""
        if self.folder is None:
            return str(self.dataset)
        return printable(os.path.basename(os.path.abspath(self.folder))) + "/"


class DrawnImages(NamedTuple):
    """The images of a run: files below a folder, in the order drawn."""

    folder: str
    files: List[str]


class TooManyBroken(UserError):
    """More images cannot be read than are allowed."""


def training_data_set(model: ClassifierDescription) -> str:
    """Return the name of the data set that a model was trained on."""
    return model.image_folder.split(os.sep)[0]


def draw_images(source: ImageSource, data_dir: str, model: ClassifierDescription,
                num_images: Optional[int], seed: int) -> DrawnImages:
    """List the images of a source, and draw some of them.

    model: the classifier. num_images: how many to draw, None for all, whose order is drawn too.
    Raises UserError.
    """
    if source.dataset == NO_IMAGES:
        return DrawnImages("", [])
    if source.dataset == training_data_set(model):
        folder = os.path.join(data_dir, model.image_folder)
        rows = read_split_side(model, "train")
        files = sorted(file for file, _ in rows)
        check_images_exist(data_dir, model.image_folder, files, listed_in="the model's train.csv")
    elif source.folder is not None:
        folder = source.folder
        files = list_images(folder)
    elif source.dataset in datasets.SOURCE_FOLDERS:
        folder = os.path.join(data_dir, datasets.SOURCE_FOLDERS[source.dataset])
        files = list_images(folder)
    else:
        known = ", ".join(sorted(set(datasets.SOURCE_FOLDERS) | {training_data_set(model)}))
        raise UserError(f"--source {source.dataset}: expected {known}, or give --source-dir")
    if num_images and num_images > len(files):
        raise UserError(f"{folder}: {len(files)} images found, --num-images asks for {num_images}; "
                        "get more, or ask for fewer")
    chosen = np.random.RandomState(seed).permutation(len(files))[:num_images]
    drawn = [files[i] for i in chosen]
    look_over([os.path.join(folder, file) for file in drawn])
    return DrawnImages(folder, drawn)


def image_reader(images: DrawnImages, image_size: int, resize: str, max_broken_share: float,
                 broken: Dict[str, str]) -> ReadSourceImages:
    """Return the function that reads images for an attack, resized and scaled for the classifier.

    broken: receives the name of each file that cannot be read, and the reason. The function raises
    TooManyBroken when these are more than the share allowed.
    """
    folder, files = images.folder, images.files

    def read(indices: Sequence[int]) -> Iterator[Optional[np.ndarray]]:
        paths = (os.path.join(folder, files[i]) for i in indices)
        for index, image in zip(indices, read_ahead(paths, image_size, resize)):
            if not isinstance(image, BrokenImage):
                yield to_model_input(image)
                continue
            broken[files[index]] = str(image)
            if len(broken) > max_broken_share * len(files):
                raise TooManyBroken(
                    f"{folder}: {len(broken)} of {len(files)} images cannot be read, the last is "
                    f"{files[index]} ({image}); get them again")
            yield None

    return read
