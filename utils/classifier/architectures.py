"""The architectures of the study, and Keras' others, as models for a number of classes."""

import functools
import types
import warnings
from typing import Any, Dict

from utils.classifier.keras_networks import KERAS_NETWORKS, keras_module
from utils.common.errors import UserError
from utils.common.memory import require_memory
from utils.images.pixels import PIXEL_OFFSET, PIXEL_SCALE

ARCHITECTURES = ("VGG16", "ResNet50", "InceptionV3")  # of the study
# What keras_applications accepts, of the study's architectures and all others.
MIN_IMAGE_SIZE = {name: network.min_image_size for name, network in KERAS_NETWORKS.items()}
SCALING = {"offset": PIXEL_OFFSET, "scale": PIXEL_SCALE}
# float32 numbers that an architecture holds at once for each pixel of one image, at the least: the
# first convolution of ResNet50 gives 64 channels for a quarter of the pixels, before and after its
# rectifier; VGG16 has eight times as many.
NUMBERS_PER_PIXEL = 32


def require_buildable(architecture: str, image_size: int, where: str) -> None:
    """Raise UserError when an architecture does not take images of a size, or no memory does.

    image_size: height and width in pixels. where: what asks for it, to begin the message.
    """
    least = MIN_IMAGE_SIZE[architecture]
    if image_size < least:
        raise UserError(f"{where}: image size {image_size}, {architecture} takes {least} or more")
    require_memory(
        4 * NUMBERS_PER_PIXEL * image_size ** 2,
        f"{where}: image size {image_size}, the layers of {architecture} for a single image",
        "ask for smaller images; the study's have 299 pixels")


def build_classifier(architecture: str, image_size: int, num_classes: int,
                     from_scratch: bool = False) -> Any:
    """Build an ImageNet architecture with a top for other classes.

    In place of its own top it has global average pooling, a dense layer and softmax.

    from_scratch: suit the layers to training from random weights.
    Returns a Keras model from float32 (n, image_size, image_size, 3), model-input units, to class
    probabilities (n, num_classes); its layer "logits" holds the logits.
    """
    from utils.classifier.frameworks import K, keras, layers, tf
    from utils.classifier.scaled_addition import in_place_of_lambda

    changed: Dict[str, Any] = {}
    if from_scratch:
        # He et al. 2015, equation 10: with Glorot's kernels, Keras' choice, a signal loses half its
        # variance in each rectified layer, and VGG16 learns nothing for a long time. Averages are
        # over about 10 steps, not 100: those of a short training would be of its first steps.
        changed = {
            "Conv2D": functools.partial(layers.Conv2D, kernel_initializer="he_normal"),
            "BatchNormalization": functools.partial(layers.BatchNormalization, momentum=0.9)}
    elif not tf.is_tensor(K.learning_phase()):
        # Called without the operations that train it, which take seconds to build.
        changed = {"BatchNormalization": lambda **options: functools.partial(
            layers.BatchNormalization(**options), training=False)}
    changed["Lambda"] = in_place_of_lambda
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ResNet50 tells everybody what changed in Keras 2.2.0
        base = getattr(keras_module(architecture), architecture)(
            weights=None, include_top=False, input_shape=(image_size, image_size, 3), backend=K,
            models=keras.models, utils=keras.utils,
            layers=types.SimpleNamespace(**dict(vars(layers), **changed)))
    features = layers.GlobalAveragePooling2D(name="features")(base.output)
    logits = layers.Dense(num_classes, name="logits")(features)
    return keras.Model(base.input, layers.Activation("softmax", name="softmax")(logits))
