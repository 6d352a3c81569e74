"""A pretrained network before any fine-tuning: what an attacker has without the classifier."""

import os

from utils.classifier.architectures import MIN_IMAGE_SIZE, SCALING
from utils.classifier.weights import imagenet_weights
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file


def describe(architecture, weights, image_size):
    """What of a classifier's JSON file (classifier.read_description) a backbone has, too.

    weights: "imagenet", or an h5 file. Returns (path of the weights, description). UserError.

    The bound is a share of the mean norm of the images that the classifier was trained on. Who has
    no such image takes that of natural images: 300 of ILSVRC2012 at 224 x 224, pixel units, have
    254 (p = inf) and 50,400 (p = 2).
    """
    path = weights if weights != "imagenet" else imagenet_weights(architecture)
    if not os.path.isfile(path):
        raise UserError("{}: no such weights file; expected imagenet, or an h5 file of {}".format(
            path, architecture))
    if image_size < MIN_IMAGE_SIZE[architecture]:
        raise UserError("--image-size {}: {} takes {} or more".format(
            image_size, architecture, MIN_IMAGE_SIZE[architecture]))
    return path, {
        "architecture": architecture, "image_size": image_size, "resize": "bilinear",
        "class_names": [], "grey": False, "scaling": SCALING,
        "weights": {"sha256": sha256_of_file(path)},
        "mean_norms": {"inf": 250.0, "2": 5e4 / 224 * image_size}}
