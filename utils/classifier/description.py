"""What the JSON file beside a classifier's weights says of it."""

import os
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Union

from utils.classifier.architectures import MIN_IMAGE_SIZE, SCALING, require_buildable
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.common.json_files import (
    COUNT,
    INSIDE,
    NATURAL,
    OBJECT,
    POSITIVE,
    SHA256,
    TEXT,
    fields,
    or_null,
    read_json,
    with_optional,
)
from utils.common.names import require_file_name, require_name
from utils.images.pixels import SCALING_SCHEMA

OF_ITS_OWN = "its own"  # the architecture of an adopted network that is none of Keras'
TRAINING_IMAGES = "training images"

_SIDE = fields(images=NATURAL, sha256=SHA256)
_WRITTEN_BY_TRAINING = fields(
    architecture={"enum": sorted(MIN_IMAGE_SIZE) + [OF_ITS_OWN]},
    class_names={"type": "array", "minItems": 2, "uniqueItems": True, "items": TEXT},
    image_folder={"anyOf": [INSIDE, {"const": ""}]}, image_size=COUNT, scaling=SCALING_SCHEMA,
    grey={"type": "boolean"},
    mean_norms=fields(**{"2": POSITIVE, "inf": POSITIVE}),
    split=fields(train=_SIDE, test=_SIDE),
    resize={"enum": ["bilinear", "nearest"]}, weights=fields(sha256=SHA256), weights_from={},
    epochs=or_null(COUNT), identity=OBJECT)
# The optional fields are those of an adopted classifier.
SCHEMA = with_optional(_WRITTEN_BY_TRAINING, mean_norms_of=TEXT, adopted=OBJECT)
# As much of it as tells one classifier from another.
WEIGHTS_SCHEMA = fields(weights=fields(sha256=SHA256))
MEND = "train_model.py writes it beside the weights"


class SplitSide(NamedTuple):
    """One side of a split: how many images, and the SHA-256 of its rows, `file,class name`."""

    images: int
    sha256: str


@dataclass(frozen=True)
class ClassifierDescription:
    """A classifier in files, or a pretrained network that an attacker takes for one.

    file: of its weights, whose SHA-256 is weights_sha256. name: of the classifier, in the folders
    of its results. class_names: in the order of the logits; empty for a pretrained network.
    image_folder: of its images, below the data folder; empty where there are none. image_size:
    height and width, pixels.
    resize: how images become that size, a key of decoding.RESIZE. grey: whether all its training
    images are. mean_norms: of images, ||pixels||_p in 0..255, by p as "2" and "inf"; mean_norms_of
    says which: the training images, but for a network that was adopted without any.
    split: by "train" and "test"; empty for a pretrained network. weights_from: what the training
    began with: a text, or a dict that names a file. identity: the choices of the training.
    is_adopted: whether other code trained it; its file then holds the whole network.
    """

    file: str
    name: str
    architecture: str
    class_names: List[str]
    image_folder: str
    image_size: int
    resize: str
    grey: bool
    mean_norms: Dict[str, float]
    weights_sha256: str
    split: Dict[str, SplitSide]
    weights_from: Union[str, Dict[str, Any], None]
    epochs: Optional[int]
    identity: Dict[str, Any]
    mean_norms_of: str = TRAINING_IMAGES
    is_adopted: bool = False

    def mean_norm(self, p: float) -> float:
        """Return the mean p-norm that bounds are a share of, pixel units. p: 2 or infinity."""
        return self.mean_norms[f"{p:g}"]


def without_extension(weights_path: str) -> str:
    """Return the folder of a classifier's lists and pictures: models/VGG16 of models/VGG16.h5."""
    return os.path.splitext(weights_path)[0]


def json_path_of(weights_path: str) -> str:
    """Return the JSON file of a classifier: models/VGG16.json of models/VGG16.h5."""
    return without_extension(weights_path) + ".json"


def classifier_name(weights_path: str) -> str:
    """Return the name of a classifier: VGG16 of models/VGG16.h5."""
    return os.path.basename(without_extension(weights_path))


def read_description(path: str) -> ClassifierDescription:
    """Read the JSON file beside a weights file, and check that the two belong together.

    path: of the weights. Raises UserError when one of them is missing or wrong, before anything is
    built of what they say.
    """
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such model file; train one with train_model.py, or adopt one "
                        "with python -m utils.classifier.adopt")
    description = read_description_alone(path)
    if not description.is_adopted:
        require_buildable(description.architecture, description.image_size, json_path_of(path))
    found = sha256_of_file(path)
    if found != description.weights_sha256:
        raise UserError(f"{path}: SHA-256 is {found}, {json_path_of(path)} says "
                        f"{description.weights_sha256}; the two files do not belong together, "
                        "train the model again")
    return description


def read_description_alone(path: str) -> ClassifierDescription:
    """Read the JSON file beside a weights file, which is not looked at. Raises UserError.

    path: of the weights.
    """
    require_file_name(classifier_name(path), f"{path}: a classifier")
    json_path = json_path_of(path)
    values = read_json(json_path, SCHEMA, MEND)
    if values["scaling"] != SCALING:
        raise UserError(f"{json_path}: made for inputs scaled as {values['scaling']}, this code "
                        f"scales as {SCALING}")
    for name in values["class_names"]:
        require_name(name, f"{json_path}: a class")
    return ClassifierDescription(
        file=path, name=classifier_name(path), architecture=values["architecture"],
        class_names=values["class_names"], image_folder=values["image_folder"],
        image_size=values["image_size"], resize=values["resize"], grey=values["grey"],
        mean_norms=values["mean_norms"], weights_sha256=values["weights"]["sha256"],
        split={side: SplitSide(values["split"][side]["images"], values["split"][side]["sha256"])
               for side in ("train", "test")},
        weights_from=values["weights_from"], epochs=values["epochs"], identity=values["identity"],
        mean_norms_of=values.get("mean_norms_of", TRAINING_IMAGES), is_adopted="adopted" in values)


def read_weights_sha256(json_path: str) -> str:
    """Return the SHA-256 of the weights that a classifier's JSON file names. Raises UserError."""
    return read_json(json_path, WEIGHTS_SCHEMA, "train the model again")["weights"]["sha256"]
