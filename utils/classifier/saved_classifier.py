"""Trained classifiers in files: saving, reading and loading them."""

import os

from utils.classifier.architectures import SCALING, build_classifier
from utils.classifier.session import start_session
from utils.classifier.weights import load_weights
from utils.common import json_files
from utils.common.csv_files import read_written_csv
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file, sha256_of_lines
from utils.common.whole_files import replacing


def stem(weights_path):
    """models/VGG16.h5 -> models/VGG16: the folder of its details; + ".json", its description."""
    return os.path.splitext(weights_path)[0]


def model_name(weights_path):
    """models/VGG16.h5 -> VGG16."""
    return os.path.basename(stem(weights_path))


def save_classifier(arrays, path, description):
    """Save a model as h5, and `description` with the SHA-256 of that file as JSON.

    arrays: the model's get_weights(). Ends the current session: Keras gets the weights of each
    layer in a run of its own, in minutes on a graph that was trained, in seconds on a new one.
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
    json_files.write_json(stem(path) + ".json", dict(description, weights=weights))


def _copy_without_times(source, target):
    """Copy an h5 group; HDF5's times of creation would make equal models differ in bytes."""
    import h5py

    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_without_times(item, target.create_group(name))
        else:
            target.create_dataset(name, data=item[()], track_times=False)


def read_description(path):
    """Read and check the JSON beside a weights file. Raises UserError."""
    if not os.path.isfile(path):
        raise UserError("{}: no such model file; train one with train_model.py".format(path))
    json_path = stem(path) + ".json"
    description = json_files.read_json(json_path, json_files.MODEL,
                                       "train_model.py writes it beside the weights")
    if description["scaling"] != SCALING:
        raise UserError("{}: made for inputs scaled as {}, this code scales as {}".format(
            json_path, description["scaling"], SCALING))
    found, expected = sha256_of_file(path), description["weights"]["sha256"]
    if found != expected:
        raise UserError("{}: SHA-256 is {}, {} says {}; the two files do not belong together, "
                        "train the model again".format(path, found, json_path, expected))
    return description


def read_split_side(path, description, side):
    """The rows (file, class name) of the "train" or "test" side of the split of a model at `path`.

    Raises UserError when the list is not the one the model was made with.
    """
    rows_path = os.path.join(stem(path), side + ".csv")
    rows = [tuple(row) for row in read_written_csv(rows_path, None, "train the model again")]
    sha256 = sha256_of_lines(",".join(row) for row in rows)
    if sha256 != description["split"][side]["sha256"] or {len(row) for row in rows} != {2}:
        raise UserError("{}: not the {} images that {}.json names; train the model again".format(
            rows_path, side, stem(path)))
    return rows


def load_classifier(path, description):
    """Build the network that `description` names and load its weights. Raises UserError.

    One without classes, a backbone, has a top of one class that means nothing.
    """
    class_names = description["class_names"]
    model = build_classifier(description["architecture"], description["image_size"],
                             max(1, len(class_names)))
    loaded = load_weights(model, path, description["architecture"], class_names)
    if class_names and loaded["head"] != "loaded":
        raise UserError("{}: its last layer is not one of {} classes; train the model again".format(
            path, len(class_names)))
    return model
