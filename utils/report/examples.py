"""Test images under UAPs, for people to look at: which images, which UAPs, what is predicted."""

import os
from dataclasses import dataclass
from typing import Callable, List, Optional, Sequence

import numpy as np

from utils.common.hashes import sha256_of_file
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report.pictures import MOST_EXAMPLES, ExampleRow

# Function (run, files) -> uint8 (n, h, w, 3), or None when the images of the run are not at hand.
ReadTestImages = Callable[[EvaluatedUap, Sequence[str]], Optional[np.ndarray]]


@dataclass(frozen=True, eq=False)
class ShownImages:
    """Some test images of a classifier.

    places: of the images among the rows of `run`. pixels: uint8, (n, h, w, 3).
    """

    run: EvaluatedUap
    places: Sequence[int]
    pixels: np.ndarray

    @property
    def heads(self) -> List[str]:
        """Return two lines of text on each clean image: its true class, and what is predicted."""
        labels, clean = self.run.predictions["label"], captions(self.run, "clean", self.places)
        return [f"true {labels[i]}\n{caption}" for i, caption in zip(self.places, clean)]


def captions(run: EvaluatedUap, column: str, places: Sequence[int]) -> List[str]:
    """Return the class predicted of each image, with its softmax probability."""
    classes, confidences = run.predictions[column], run.predictions[column + "_confidence"]
    return [f"{classes[i]} {float(confidences[i]):.2f}" for i in places]


def first_of_each_class(run: EvaluatedUap, read_images: ReadTestImages) -> Optional[ShownImages]:
    """Return the first test image of each class, of at most MOST_EXAMPLES; None without them."""
    labels = list(run.predictions["label"])
    names = [name for name in run.classifier.class_names if name in labels][:MOST_EXAMPLES]
    return _read(run, [labels.index(name) for name in names], read_images)


def first_that_are_right(run: EvaluatedUap, count: int,
                         read_images: ReadTestImages) -> Optional[ShownImages]:
    """Return the first test images that the classifier gets right, each of another class.

    Where there are not `count` such classes, further images of the same follow.
    """
    labels = run.predictions["label"]
    right = [int(i) for i in np.flatnonzero(labels == run.predictions["clean"])]
    _, first = np.unique(labels[right], return_index=True)
    chosen = [right[i] for i in sorted(first)]
    chosen += [i for i in right if i not in chosen]
    return _read(run, chosen[:count], read_images) if right else None


def _read(run: EvaluatedUap, places: Sequence[int],
          read_images: ReadTestImages) -> Optional[ShownImages]:
    if not places:
        return None
    pixels = read_images(run, run.predictions["file"][list(places)])
    return None if pixels is None else ShownImages(run, places, pixels)


def perturbation_of(run: EvaluatedUap) -> Optional[np.ndarray]:
    """Return the UAP, float32 (h, w, 3), model-input units.

    None where the file beside the rows is not there, or not the one that was evaluated.
    """
    path = os.path.join(run.folder, "uap.npy")
    if not os.path.exists(path) or sha256_of_file(path) != run.uap.sha256:
        return None
    return np.load(path, allow_pickle=False)


def example_row(title: str, run: EvaluatedUap, images: ShownImages) -> Optional[ExampleRow]:
    """Return what a UAP makes of some images; None where it or its test images are others."""
    v = perturbation_of(run) if run.test_sha256 == images.run.test_sha256 else None
    if v is None:
        return None
    changed = run.predictions["uap"] != run.predictions["clean"]
    return ExampleRow(title=title, v=v, captions=captions(run, "uap", images.places),
                      changed=[bool(changed[i]) for i in images.places])
