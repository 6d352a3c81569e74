"""A classifier that is here, its test images, and what all rows about it depend on."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from utils.classifier.description import ClassifierDescription
from utils.classifier.saved_classifier import read_split_side
from utils.common.hashes import sha256_of_lines
from utils.common.precision import precision_of
from utils.common.terminal import printable
from utils.evaluation.evaluated_uap import AttackedClassifier
from utils.images import splits
from utils.images.fingerprint import fingerprint_of_images


class TestImages(NamedTuple):
    """The test images of a classifier, as far as --limit lets them be used.

    rows: (file, class name). sha256: of this list. fingerprint: of the contents of the files, None
    where one of them is not at hand.
    """

    rows: List[Tuple[str, str]]
    sha256: str
    fingerprint: Optional[str]


class PresentClassifier:
    """A classifier whose files are here.

    description: what its JSON file says. attacked: as rows speak of it.
    test_side_sha256: of the list of all its test images.
    """

    def __init__(self, description: ClassifierDescription, data_dir: str) -> None:
        """Read the list of its test images. Raises UserError."""
        self.description = description
        self.attacked = attacked_classifier(description)
        self._rows = read_split_side(description, "test")
        self.test_side_sha256 = _sha256_of_rows(self._rows)
        self._image_folder = os.path.join(data_dir, self.attacked.image_folder)
        self._test_images: Dict[int, TestImages] = {}

    @property
    def name(self) -> str:
        """Return the name of the classifier."""
        return self.attacked.name

    def test_images(self, limit: Optional[int]) -> TestImages:
        """Return all test images, or so many of them, drawn in the proportion of the classes."""
        limited = splits.limit_rows(self._rows, limit, seed=0)
        if len(limited) not in self._test_images:
            self._test_images[len(limited)] = TestImages(
                rows=limited, sha256=_sha256_of_rows(limited),
                fingerprint=self._fingerprint([file for file, _ in limited]))
        return self._test_images[len(limited)]

    def _fingerprint(self, files: List[str]) -> Optional[str]:
        missing = [file for file in files
                   if not os.path.exists(os.path.join(self._image_folder, file))]
        if missing:
            print(f"{printable(self._image_folder)}: {len(missing)} of {len(files)} test images of "
                  f"{self.name} are not here; rows are not compared with them")
            return None
        return fingerprint_of_images(self._image_folder, files)


def attacked_classifier(description: ClassifierDescription) -> AttackedClassifier:
    """Return a classifier as its rows speak of it."""
    identity = description.identity
    return AttackedClassifier(
        name=description.name, sha256=description.weights_sha256,
        class_names=tuple(description.class_names), image_size=description.image_size,
        resize=description.resize, image_folder=description.image_folder,
        weights_from=description.weights_from, recipe=identity.get("recipe"),
        epochs=description.epochs, learning_rate=identity.get("learning_rate"),
        batch_size=identity.get("batch_size"), precision=precision_of(identity),
        mean_norms_of=description.mean_norms_of)


def inputs_of(classifier: AttackedClassifier, test_images: TestImages) -> Dict[str, Any]:
    """Return what all rows of a classifier depend on, as their JSON files hold it."""
    return {"model_sha256": classifier.sha256, "class_names": list(classifier.class_names),
            "image_size": classifier.image_size, "resize": classifier.resize,
            "test_sha256": test_images.sha256, "test_images_sha256": test_images.fingerprint}


def _sha256_of_rows(rows_of_images: List[Tuple[str, str]]) -> str:
    return sha256_of_lines(",".join(row) for row in rows_of_images)
