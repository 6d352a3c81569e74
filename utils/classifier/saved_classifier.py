"""Trained classifiers in files: saving and loading them."""

import os
from typing import Any, Dict, List, Tuple

from utils.classifier.architectures import build_classifier
from utils.classifier.description import ClassifierDescription, json_path_of, without_extension
from utils.classifier.foreign_network import read_network
from utils.classifier.logits import head_of
from utils.classifier.session import set_first_values, start_session
from utils.classifier.weights import HEAD_LOADED, load_weights, variables_of
from utils.common.csv_files import read_written_csv
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file, sha256_of_lines
from utils.common.json_files import write_json
from utils.common.whole_files import replacing

# How Keras writes that build_classifier called a layer for inference alone. Who loads the file may
# want to train it.
FIXED_TO_INFERENCE, NOT_FIXED = b'{"training": false}', b"{}"


def save_classifier(trained: Any, path: str, values: Dict[str, Any]) -> None:
    """Save a model as h5, and `values` with the SHA-256 of that file as the JSON file beside it.

    trained: the Keras model. values: what description.SCHEMA asks for, but for `weights`, and more.
    Ends the current session: Keras gets the weights of each layer in a run of its own, in minutes
    on a graph that was trained, in seconds on a new one. Raises UserError.
    """
    from utils.classifier.frameworks import K

    arrays = K.batch_get_value(variables_of(trained.layers))
    start_session(0, inference=True)
    model = build_classifier(values["architecture"], values["image_size"],
                             len(values["class_names"]))
    set_first_values(list(zip(variables_of(model.layers), arrays)))
    save_adopted(model, path, values)


def save_adopted(model: Any, path: str, values: Dict[str, Any]) -> None:
    """Save a network as it is, and `values` as save_classifier does. Raises UserError.

    model: a Keras model in a session of which little was made but the model.
    """
    import h5py

    with replacing(path) as temporary:
        with h5py.File("in memory", "w", driver="core", backing_store=False) as with_times:
            model.save(with_times, include_optimizer=False)
            with h5py.File(temporary, "w") as file:
                _copy_without_times(with_times, file)
    weights = {"file": os.path.basename(path), "sha256": sha256_of_file(path)}
    write_json(json_path_of(path), dict(values, weights=weights))


def _copy_without_times(source: Any, target: Any) -> None:
    """Copy an h5 group, with its layers free to be trained.

    HDF5's times of creation are left out: equal models would differ in bytes.
    """
    import h5py

    for name, value in source.attrs.items():
        if name == "model_config":
            config = value if isinstance(value, bytes) else value.encode()
            value = config.replace(FIXED_TO_INFERENCE, NOT_FIXED)
        target.attrs[name] = value
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy_without_times(item, target.create_group(name))
        else:
            target.create_dataset(name, data=item[()], track_times=False)


def read_split_side(description: ClassifierDescription, side: str) -> List[Tuple[str, str]]:
    """Read the rows (file, class name) of one side, "train" or "test", of a classifier's split.

    Raises UserError when the list is not the one that the classifier was trained with.
    """
    path = os.path.join(without_extension(description.file), side + ".csv")
    if not description.split[side].images:
        where = {"train": "--split", "test": "--dataset"}[side]
        other = "; or take another --source" if side == "train" else ""
        raise UserError(f"{json_path_of(description.file)}: adopted without "
                        f"{'training' if side == 'train' else 'test'} images; adopt it again with "
                        f"{where}{other}")
    rows = read_written_csv(path, None, "train the model again")
    sha256 = sha256_of_lines(",".join(row) for row in rows)
    if sha256 != description.split[side].sha256 or {len(row) for row in rows} != {2}:
        raise UserError(f"{path}: not the {side} images that {json_path_of(description.file)} "
                        "names; train the model again")
    return [(file, label) for file, label in rows]


def load_classifier(description: ClassifierDescription) -> Any:
    """Build the network that `description` names and load its weights. Raises UserError.

    One without classes, a pretrained network, has a top of one class that means nothing. One that
    was adopted is built of the layers that its file lists.
    """
    class_names = description.class_names
    if description.is_adopted:
        return _load_adopted(description)
    model = build_classifier(description.architecture, description.image_size,
                             max(1, len(class_names)))
    loaded = load_weights(model, description.file, description.architecture,
                          class_names=class_names)
    if class_names and loaded.head != HEAD_LOADED:
        raise UserError(f"{description.file}: its last layer is not one of {len(class_names)} "
                        "classes; train the model again")
    return model


def _load_adopted(description: ClassifierDescription) -> Any:
    network = read_network(description.file)
    size, classes = description.image_size, len(description.class_names)
    expected = (None, size, size, 3)
    outputs = head_of(network).classes
    if network.input_shape != expected or outputs != classes:
        raise UserError(f"{description.file}: a network of inputs {network.input_shape} and "
                        f"{outputs} classes, {json_path_of(description.file)} says {expected} and "
                        f"{classes}; adopt it again")
    return network
