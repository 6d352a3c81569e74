"""A pretrained network before any fine-tuning: what an attacker has without the classifier."""

import os
from typing import Dict

from utils.classifier.architectures import require_buildable
from utils.classifier.description import ClassifierDescription
from utils.classifier.weights import imagenet_weights
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file

# The mean norms of 300 images of ILSVRC2012 at 224 x 224 pixels, in pixel units, rounded: 254 for
# p = infinity, and 50,400 for p = 2, which grows with height and width.
NATURAL_NORM_INF = 250.0
NATURAL_NORM_2 = 5e4 / 224


def natural_mean_norms(image_size: int) -> Dict[str, float]:
    """Return the mean norms of natural images, pixel units, by p as "2" and "inf"."""
    return {"inf": NATURAL_NORM_INF, "2": NATURAL_NORM_2 * image_size}


def describe(architecture: str, weights: str, image_size: int) -> ClassifierDescription:
    """Describe a pretrained network as far as the attack without images asks.

    weights: "imagenet", or an h5 file. image_size: height and width in pixels.

    The bound of a UAP is a share of the mean norm of the images that the classifier was trained on.
    Who has no such image takes that of natural images. Raises UserError.
    """
    path = weights if weights != "imagenet" else imagenet_weights(architecture)
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such weights file; expected imagenet, or an h5 file of "
                        f"{architecture}")
    require_buildable(architecture, image_size, "--image-size")
    return ClassifierDescription(
        file=path, name=f"backbone-{architecture}-{image_size}", architecture=architecture,
        class_names=[], image_folder="", image_size=image_size, resize="bilinear", grey=False,
        mean_norms=natural_mean_norms(image_size), weights_sha256=sha256_of_file(path), split={},
        weights_from=None, epochs=None, identity={}, mean_norms_of="natural images")
