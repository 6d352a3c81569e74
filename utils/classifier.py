"""The classifiers of the study as Keras models: building, saving and loading them."""

import contextlib
import ctypes
import functools
import importlib
import io
import os
import random
import sys
import types

import numpy as np

from utils import json_files
from utils.datasets import read_labels
from utils.errors import UserError
from utils.files import replacing, sha256_of_file, sha256_of_lines
from utils.images import PIXEL_OFFSET, PIXEL_SCALE
from utils.weights import IMAGENET_MD5, load_weights, missing_imagenet_weights

ARCHITECTURES = ("VGG16", "ResNet50", "InceptionV3")
MIN_IMAGE_SIZE = {"VGG16": 32, "ResNet50": 32, "InceptionV3": 75}  # what keras_applications accepts

SCALING = {"offset": PIXEL_OFFSET, "scale": PIXEL_SCALE}


def import_quietly():
    """Import TensorFlow and Keras without the lines that greet everybody; warnings and errors stay.

    To be called before anything else imports them. TF_CPP_MIN_LOG_LEVEL=0 brings TensorFlow's back.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # Lets XLA compile for a CPU, which session_config() rules out: else 1.14 warns that it may not.
    os.environ.setdefault("TF_XLA_FLAGS", "--tf_xla_cpu_global_jit")
    import tensorflow as tf

    # Keras 2.2.4 calls names that TensorFlow 1.14 announces as deprecated, once for each name; on
    # pinned versions that announcement asks nothing of anybody.
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        import keras  # noqa: F401
    sys.stderr.write(said.getvalue().replace("Using TensorFlow backend.\n", ""))


def session_config():
    """The options of every session, as a TensorFlow ConfigProto.

    TensorFlow's rewriting of the graph is off: it takes seconds for each new set of outputs, and
    made neither training nor attack faster (ResNet50, InceptionV3, 2 cores). XLA is off, too.
    """
    import tensorflow as tf

    config = tf.ConfigProto(gpu_options=tf.GPUOptions(allow_growth=True))
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
    return config


def start_session(seed, inference):
    """Begin an empty TensorFlow graph in which every random operation is seeded.

    inference: fix the graph to the test phase (batch normalisation uses its moving averages).
    """
    import_quietly()
    import keras.backend as K
    import tensorflow as tf

    keep_freed_memory()
    K.clear_session()
    random.seed(seed)
    tf.set_random_seed(seed)
    np.random.seed(seed)  # Keras draws the seeds of its initialisers from NumPy
    K.set_session(tf.Session(config=session_config()))
    if inference:
        K.set_learning_phase(0)


def keep_freed_memory():
    """Make glibc keep the large blocks that TensorFlow frees after each operation.

    It gives them back to the system by default, and gets them again page by page: up to half the
    time of an operation that is bound by memory. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((-4, 0), (-1, 2 ** 31 - 1), (-8, 1)):
            mallopt(parameter, value)  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX of malloc.h


def build_classifier(architecture, image_size, num_classes, weights=None):
    """ImageNet architecture without its top -> global average pooling -> Dense -> softmax.

    architecture: one of ARCHITECTURES. weights: "imagenet", "none" (random, to train from), or
    None when others will be loaded.
    Returns a Keras model from float32 (n, image_size, image_size, 3), model-input units, to class
    probabilities (n, num_classes); its layer "logits" holds the logits. Raises UserError.
    """
    import keras
    import keras.backend as K
    from keras import layers

    changed = {}
    if weights == "none":
        changed = _suited_to_random_weights()
    elif not K.is_tensor(K.learning_phase()):
        changed = {"BatchNormalization": _batch_normalization_for_inference}
    shape = (image_size, image_size, 3)
    make_base = getattr(_module(architecture), architecture)
    try:
        base = make_base(weights="imagenet" if weights == "imagenet" else None, include_top=False,
                         input_shape=shape, backend=K, models=keras.models, utils=keras.utils,
                         layers=types.SimpleNamespace(**dict(vars(layers), **changed)))
    except Exception as error:  # Keras raises a bare Exception when the download fails
        if weights != "imagenet":
            raise
        raise UserError(missing_imagenet_weights(
            architecture, _module(architecture).WEIGHTS_PATH_NO_TOP, error))
    features = layers.GlobalAveragePooling2D(name="features")(base.output)
    logits = layers.Dense(num_classes, name="logits")(features)
    return keras.Model(base.input, layers.Activation("softmax", name="softmax")(logits))


def imagenet_weights(architecture):
    """The path of Keras' ImageNet weights, which are downloaded where missing. Raises UserError."""
    from keras.utils import get_file

    address = _module(architecture).WEIGHTS_PATH_NO_TOP
    try:
        return get_file(os.path.basename(address), address, cache_subdir="models",
                        file_hash=IMAGENET_MD5[architecture])
    except Exception as error:  # Keras raises a bare one
        raise UserError(missing_imagenet_weights(architecture, address, error))


def _module(architecture):
    """The module of keras_applications; called with the layers to use, it needs no copy of them."""
    return importlib.import_module("keras_applications." + {
        "VGG16": "vgg16", "ResNet50": "resnet50", "InceptionV3": "inception_v3"}[architecture])


def _suited_to_random_weights():
    """Layers that let an architecture learn from random weights in few steps.

    Convolution kernels are drawn from He's distribution (He et al. 2015, equation 10): with
    Glorot's, Keras' choice, a signal loses half its variance in each rectified layer, and VGG16
    learns nothing for a long time. Batch normalisation averages over about 10 steps, not 100: the
    averages of a short training would else be those of its first steps. Which initialiser the
    follow-up paper's models from random weights had is not published.
    """
    from keras import layers

    return {"Conv2D": functools.partial(layers.Conv2D, kernel_initializer="he_normal"),
            "BatchNormalization": functools.partial(layers.BatchNormalization, momentum=0.9)}


def _batch_normalization_for_inference(**options):
    """Keras' layer, called without the operations that train it, which take seconds to build."""
    from keras import layers

    return functools.partial(layers.BatchNormalization(**options), training=False)


def description_path(weights_path):
    """The JSON file that belongs to a weights file: models/VGG16.h5 -> models/VGG16.json."""
    return os.path.splitext(weights_path)[0] + ".json"


def details_folder(weights_path):
    """The folder of the split and the pictures of a model: models/VGG16.h5 -> models/VGG16."""
    return os.path.splitext(weights_path)[0]


def model_name(weights_path):
    """The name of a model: models/VGG16.h5 -> VGG16."""
    return os.path.basename(details_folder(weights_path))


def save_classifier(arrays, path, description):
    """Save a model as h5, and `description` with the SHA-256 of that file as JSON.

    arrays: the model's get_weights(). Ends the current session. Keras asks TensorFlow for the
    weights of each layer in a run of its own, and each such run prepares the whole graph: minutes
    on a graph that was trained, seconds on this new one.
    """
    import h5py

    start_session(0, inference=True)
    model = build_classifier(description["architecture"], description["image_size"],
                             len(description["class_names"]))
    model.set_weights(arrays)
    for layer in model.layers:
        for node in layer._inbound_nodes:
            node.arguments = {}  # training=False, which the file would pass on
    with replacing(path) as temporary:
        with h5py.File("in memory", "w", driver="core", backing_store=False) as with_times:
            model.save(with_times, include_optimizer=False)
            with h5py.File(temporary, "w") as file:
                _copy_without_times(with_times, file)
    weights = {"file": os.path.basename(path), "sha256": sha256_of_file(path)}
    json_files.write_json(description_path(path), dict(description, weights=weights))


def _copy_without_times(source, target):
    """Copy an h5 group; HDF5's times of creation would make equal models differ in bytes."""
    import h5py

    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_without_times(item, target.create_group(name))
        else:
            target.create_dataset(name, data=item[()], track_times=False)


def read_description(path):
    """Read and check the JSON beside a weights file. Raises UserError."""
    if not os.path.isfile(path):
        raise UserError("{}: no such model file; train one with train_model.py".format(path))
    json_path = description_path(path)
    description = json_files.read_json(json_path, json_files.MODEL,
                                       "train_model.py writes it beside the weights")
    if description["scaling"] != SCALING:
        raise UserError("{}: made for inputs scaled as {}, this code scales as {}".format(
            json_path, description["scaling"], SCALING))
    found = sha256_of_file(path)
    if found != description["weights"]["sha256"]:
        raise UserError("{}: SHA-256 is {}, {} says {}; the two files do not belong together, "
                        "train the model again".format(
                            path, found, json_path, description["weights"]["sha256"]))
    return description


def read_split_side(path, description, side):
    """The rows (file, class name) of the "train" or "test" side of a model's split.

    path: of the weights. Raises UserError when the list is not the one the model was made with.
    """
    rows_path = os.path.join(details_folder(path), side + ".csv")
    rows = list(read_labels(rows_path).items())
    if sha256_of_lines(",".join(row) for row in rows) != description["split"][side]["sha256"]:
        raise UserError("{}: not the {} images that {} names; train the model again".format(
            rows_path, side, description_path(path)))
    return rows


def load_classifier(path, description):
    """Build the model that `description` names and load its weights. Raises UserError."""
    model = build_classifier(description["architecture"], description["image_size"],
                             len(description["class_names"]))
    loaded = load_weights(model, path, description["architecture"], description["class_names"])
    if loaded["head"] != "loaded":
        raise UserError("{}: its last layer is not one of {} classes; train the model again".format(
            path, len(description["class_names"])))
    return model


def predict_in_batches(predict, images, batch_size=32):
    """Apply `predict` (batch -> array, first axis n) to batches of `images`; join the results."""
    return np.concatenate([predict(images[i:i + batch_size])
                           for i in range(0, len(images), batch_size)])
