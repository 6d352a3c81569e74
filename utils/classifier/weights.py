"""Weights from anywhere: Keras' ImageNet weights, or an h5 file of the same architecture."""

import os

from utils.classifier.keras_networks import KERAS_NETWORKS, address_of_weights
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.common.json_files import OBJECT, read_json


def imagenet_weights(architecture):
    """The path of Keras' ImageNet weights, which are downloaded where missing. Raises UserError."""
    from utils.classifier.frameworks import keras

    address, md5 = address_of_weights(architecture), KERAS_NETWORKS[architecture].md5
    try:
        return keras.utils.get_file(os.path.basename(address), address, cache_subdir="models",
                                    file_hash=md5)
    except Exception as error:  # Keras raises a bare one
        home = os.environ.get("KERAS_HOME", os.path.join(os.path.expanduser("~"), ".keras"))
        raise UserError(
            "the ImageNet weights of {} could not be loaded ({}); without a connection, download "
            "{} (md5 {}) elsewhere and put it into {}, or give others with --weights"
            .format(architecture, error, address, md5, os.path.join(home, "models")))


def load_weights(model, path, architecture, class_names):
    """Load the weights of an h5 file into a classifier of `architecture`, layer by layer in order.

    path: a file without top, as Keras itself downloads them, or with any. The top, one dense layer,
    is loaded too where the JSON file beside it names the same classes; otherwise the model's stays.
    Returns what was loaded, for the model's JSON file. Raises UserError, naming the first layer
    that does not fit.
    """
    from utils.classifier.frameworks import K

    found = read_layers(path)
    *base, (_, head) = [(layer.name, layer.weights) for layer in model.layers if layer.weights]
    refusal = "{}: not the weights of {}".format(path, architecture)
    for i, ((name, weights), (theirs, arrays)) in enumerate(zip(base, found), 1):
        shapes, expected = _shapes(arrays), [K.int_shape(w) for w in weights]
        if shapes != expected:
            raise UserError("{}: layer {}, number {} with weights, has shapes {}, expected {} as {}"
                            .format(refusal, theirs, i, shapes, expected, name))
    if len(found) < len(base):
        raise UserError("{}: {} layers with weights, expected {} or more; layer {} is missing"
                        .format(refusal, len(found), len(base), base[len(found)][0]))
    top = found[len(base):]
    fits = (len(top) == 1 and _class_names_beside(path) == list(class_names)
            and _shapes(top[0][1]) == [K.int_shape(w) for w in head])
    values = [value for _, layer in found[:len(base) + fits] for value in layer]
    K.batch_set_value(list(zip([w for _, layer in base for w in layer] + head, values)))
    return {"file": os.path.basename(path), "sha256": sha256_of_file(path),
            "layers": len(base) + fits, "head": "loaded" if fits else "new and random"}


def _shapes(arrays):
    return [array.shape for array in arrays]


def read_layers(path):
    """The layers of a Keras h5 file that have weights: a list of (name, arrays). UserError."""
    import h5py

    if not os.path.isfile(path):
        raise UserError("{}: no such weights file; train one with train_model.py".format(path))
    try:
        with h5py.File(path, "r") as file:
            group = file["model_weights"] if "model_weights" in file else file
            layers = []
            for name in group.attrs["layer_names"]:
                arrays = [group[name][each][()] for each in group[name].attrs["weight_names"]]
                layers += [(name.decode(), arrays)] if arrays else []
            return layers
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError("{}: not an h5 file with Keras weights ({}); get it again".format(
            path, error))


def _class_names_beside(path):
    json_path = os.path.splitext(path)[0] + ".json"
    if not os.path.exists(json_path):
        return None
    return read_json(json_path, OBJECT, "restore or delete it").get("class_names")
