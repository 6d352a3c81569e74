"""The architectures of the study, and Keras' others, as models for a number of classes."""

import functools
import types
import warnings

from utils.classifier.keras_networks import KERAS_NETWORKS, keras_module
from utils.images.pixels import PIXEL_OFFSET, PIXEL_SCALE

ARCHITECTURES = ("VGG16", "ResNet50", "InceptionV3")  # of the study
# What keras_applications accepts, of the study's architectures and all others.
MIN_IMAGE_SIZE = {name: network.min_image_size for name, network in KERAS_NETWORKS.items()}
SCALING = {"offset": PIXEL_OFFSET, "scale": PIXEL_SCALE}


def build_classifier(architecture, image_size, num_classes, from_scratch=False):
    """ImageNet architecture without its top -> global average pooling -> Dense -> softmax.

    from_scratch: suit the layers to training from random weights.
    Returns a Keras model from float32 (n, image_size, image_size, 3), model-input units, to class
    probabilities (n, num_classes); its layer "logits" holds the logits.
    """
    from utils.classifier.frameworks import K, keras, layers, tf
    from utils.classifier.scaled_addition import in_place_of_lambda

    changed = {}
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
