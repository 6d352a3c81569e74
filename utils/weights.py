"""Weights from anywhere: Keras' ImageNet weights, or an h5 file of the same architecture."""

import os

from utils.errors import UserError
from utils.files import sha256_of_file
from utils.json_files import OBJECT, read_json

# MD5 of the files that Keras downloads, as keras_applications 1.0.8 lists them.
IMAGENET_MD5 = {
    "VGG16": "6d6bbae143d832006294945121d1f1fc",
    "ResNet50": "a268eb855778b3df3c7506639542a6af",
    "InceptionV3": "bcbd6486424b2319ff4ef7d526e38f63",
}


def missing_imagenet_weights(architecture, address, error):
    """What to do when Keras cannot download ImageNet weights, as the message of a UserError."""
    home = os.environ.get("KERAS_HOME", os.path.join(os.path.expanduser("~"), ".keras"))
    return (
        "the ImageNet weights of {} could not be loaded ({}); without a connection, download {} "
        "(md5 {}) elsewhere and put it into {}, or use --weights none or --weights FILE".format(
            architecture, error, address, IMAGENET_MD5[architecture], os.path.join(home, "models")))


def load_weights(model, path, architecture, class_names):
    """Load the weights of an h5 file into a classifier of `architecture`, layer by layer in order.

    path: a file of Keras without top, as Keras itself downloads them; or with any top, of any
        number of classes. The top, one dense layer, is loaded too where it has as many classes and
        the JSON file beside it names the same ones; otherwise the model's stays as it is.
    Returns what was loaded, for the model's JSON file. Raises UserError, naming the first layer
    that does not fit.
    """
    import keras.backend as K

    found = read_layers(path)
    ours = [(layer.name, layer.weights) for layer in model.layers if layer.weights]
    base, (_, head) = ours[:-1], ours[-1]
    mend = "{}: not the weights of {}".format(path, architecture)
    for i, (name, weights) in enumerate(base):
        expected = [tuple(w.shape.as_list()) for w in weights]
        if i >= len(found):
            raise UserError("{}: {} layers with weights, expected {} or more; layer {} is missing"
                            .format(mend, len(found), len(base), name))
        shapes = [value.shape for value in found[i][1]]
        if shapes != expected:
            raise UserError("{}: layer {}, number {} with weights, has shapes {}, expected {} as {}"
                            .format(mend, found[i][0], i + 1, shapes, expected, name))
    top = found[len(base):]
    fits = (len(top) == 1 and _class_names_beside(path) == list(class_names)
            and [value.shape for value in top[0][1]] == [tuple(w.shape.as_list()) for w in head])
    values = [value for _, layer in found[:len(base) + fits] for value in layer]
    K.batch_set_value(list(zip([w for _, layer in base for w in layer] + head, values)))
    return {"file": os.path.basename(path), "sha256": sha256_of_file(path),
            "layers": len(base) + fits, "head": "loaded" if fits else "new and random"}


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
                names = group[name].attrs["weight_names"]
                if len(names):
                    layers.append((name.decode(), [group[name][each][()] for each in names]))
            return layers
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError("{}: not an h5 file with Keras weights ({}); get it again".format(
            path, error))


def _class_names_beside(path):
    json_path = os.path.splitext(path)[0] + ".json"
    if not os.path.exists(json_path):
        return None
    return read_json(json_path, OBJECT, "restore or delete it").get("class_names")
