"""Weights from anywhere: Keras' ImageNet weights, or an h5 file of the same architecture.

Keras 2 writes an h5 file as a group for each layer, in order, with the names of its weights, each
of which is a data set of numbers. That is all that is read here: no code that a file may hold is
run, and no other file that it may name is opened.
"""

import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from utils.classifier.keras_networks import KERAS_NETWORKS, address_of_weights
from utils.classifier.session import set_first_values
from utils.common.errors import UserError
from utils.common.hashes import md5_of_file, sha256_of_file
from utils.common.json_files import OBJECT, read_json
from utils.common.memory import require_memory

# A layer that only the ResNet50 of newer versions has.
NEWER_RESNET50 = "conv2_block1_0_conv"
ZIP = b"PK\x03\x04"  # with which a zip file begins
AS_H5 = ("build the same network in Keras 2 (tf_keras), give it these weights (set_weights), and "
         "write model.save(\"FILE.h5\") there")


@dataclass(frozen=True)
class StoredLayer:
    """A layer that has weights, in an h5 file that is open; `arrays` are its h5py data sets."""

    path: str
    name: str
    arrays: List[Any]

    @property
    def shapes(self) -> List[Tuple[int, ...]]:
        """Return the shapes of its weights, in order."""
        return [tuple(array.shape) for array in self.arrays]

    def read(self) -> List[np.ndarray]:
        """Read the weights. Raises UserError where they do not fit into memory or are not finite.
        """
        require_memory(sum(4 * array.size for array in self.arrays),
                       f"{self.path}: the weights of layer {self.name}", "get the file again")
        values = [array[()] for array in self.arrays]
        if not all(np.isfinite(value).all() for value in values):
            raise UserError(f"{self.path}: layer {self.name} has weights that are infinite or no "
                            "numbers; train the model again, or get the file again")
        return values


class NamedWeights(NamedTuple):
    """The weights of one layer, in the order in which Keras lists them."""

    name: str
    arrays: List[np.ndarray]


class LoadedWeights(NamedTuple):
    """What was loaded into a model: of which file, how many layers, and whether the top is of it.
    """

    file: str
    sha256: str
    layers: int
    head: str


HEAD_LOADED, HEAD_NEW = "loaded", "new and random"


def imagenet_weights(architecture: str) -> str:
    """Return the path of Keras' ImageNet weights, downloaded where missing. Raises UserError.

    Keras itself would write a file where another process may read or write it, too. So each process
    downloads into a folder of its own, and the file takes its place when it is whole.
    """
    from utils.classifier.frameworks import keras  # makes the folder of Keras

    address, md5 = address_of_weights(architecture), KERAS_NETWORKS[architecture].md5
    folder, name = _folder_of_imagenet_weights(), os.path.basename(address)
    path = os.path.join(folder, name)
    try:
        if not (os.path.exists(path) and _is_whole(path, md5)):
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder) as own_folder:
                part = keras.utils.get_file(name, address, cache_subdir=own_folder)
                if not _is_whole(part, md5):
                    raise ValueError("what came is not that file, or not all of it")
                os.replace(part, path)
        return path
    except Exception as error:  # Keras raises a bare one
        raise UserError(
            f"the ImageNet weights of {architecture} could not be loaded ({error}); without a "
            f"connection, download {address} (md5 {md5 or 'not known'}) elsewhere and put it into "
            f"{folder}, or give others with --weights")


def _is_whole(path: str, md5: Optional[str]) -> bool:
    """Whether a file has this MD5 or, where none is known, is an h5 file that does not end early.
    """
    import h5py

    if md5 is not None:
        return md5_of_file(path) == md5
    try:
        h5py.File(path, "r").close()
    except OSError:
        return False
    return True


def _folder_of_imagenet_weights() -> str:
    """Return the folder `models` in KERAS_HOME or, where that is not set, in ~/.keras.

    Where that cannot be written, it is in /tmp/.keras, as Keras has it. The get_file of Keras does
    not read KERAS_HOME.
    """
    home = os.path.abspath(os.path.expanduser(os.environ.get("KERAS_HOME") or "~/.keras"))
    return os.path.join(home if os.access(home, os.W_OK) else "/tmp/.keras", "models")


def load_weights(model: Any, path: str, architecture: str,
                 class_names: Sequence[str]) -> LoadedWeights:
    """Load the weights of an h5 file into a classifier of `architecture`, layer by layer in order.

    model: just built. path: a file without top, as Keras itself downloads them, or with any. The
    top, one dense layer, is loaded too where the JSON file beside it names the same classes;
    otherwise the model's stays. Raises UserError, naming the first layer that does not fit.
    """
    *base, top = [layer for layer in model.layers if layer.weights]
    with stored_layers(path) as stored:
        _require_same_shapes(base, stored, path, architecture=architecture)
        rest = stored[len(base):]
        fits = (len(rest) == 1 and _class_names_beside(path) == list(class_names)
                and rest[0].shapes == _shapes(top))
        loaded = base + [top] if fits else base
        values = [value for layer in stored[:len(loaded)] for value in layer.read()]
    set_first_values(list(zip(variables_of(loaded), values)))
    return LoadedWeights(os.path.basename(path), sha256_of_file(path), len(loaded),
                         head=HEAD_LOADED if fits else HEAD_NEW)


def variables_of(layers: Sequence[Any]) -> List[Any]:
    """Return the variables that are the weights of Keras layers, layer by layer in order."""
    return [variable for layer in layers for variable in layer.weights]


def weights_with_top(model: Any, path: str, architecture: str) -> Dict[str, List[np.ndarray]]:
    """Read the weights of a classifier of `architecture`, its top too, layer by layer in order.

    model: of Keras. path: of an h5 file. Returns the weights of each layer of the model, by its
    name. Raises UserError, naming the first layer that does not fit.
    """
    expected = [layer for layer in model.layers if layer.weights]
    with stored_layers(path) as stored:
        _require_same_shapes(expected, stored, path, architecture=architecture)
        if len(stored) > len(expected):
            raise UserError(
                f"{path}: not the weights of {architecture}, global average pooling and one dense "
                f"layer: {len(stored)} layers with weights, expected {len(expected)}; "
                f"{stored[len(expected)].name} is one too many")
        return {layer.name: found.read() for layer, found in zip(expected, stored)}


def _require_same_shapes(layers: Sequence[Any], stored: Sequence[StoredLayer], path: str,
                         architecture: str) -> None:
    """Raise UserError where the first layers of a file are not these layers of a model."""
    refusal = f"{path}: not the weights of {architecture}"
    if any(layer.name == NEWER_RESNET50 for layer in stored) and architecture == "ResNet50":
        raise UserError(
            f"{refusal} as in the study: it has the layers of the ResNet50 that Keras has had "
            "since 2.2.5, with another order and another normalisation; give weights of the "
            "earlier one, such as --weights imagenet")
    for number, (layer, found) in enumerate(zip(layers, stored), 1):
        expected = _shapes(layer)
        if found.shapes != expected:
            raise UserError(
                f"{refusal}: layer {found.name}, number {number} with weights, has shapes "
                f"{found.shapes}, expected {expected} as {layer.name}")
    if len(stored) < len(layers):
        raise UserError(
            f"{refusal}: {len(stored)} layers with weights, expected {len(layers)} or more; "
            f"layer {layers[len(stored)].name} is missing")


def _shapes(layer: Any) -> List[Tuple[int, ...]]:
    return [tuple(weight.shape.as_list()) for weight in layer.weights]


def _class_names_beside(path: str) -> Any:
    json_path = os.path.splitext(path)[0] + ".json"
    if not os.path.exists(json_path):
        return None
    return read_json(json_path, OBJECT, "restore or delete it").get("class_names")


def read_layers(path: str) -> List[NamedWeights]:
    """Read all layers of a Keras h5 file that have weights, in order. Raises UserError."""
    with stored_layers(path) as stored:
        return [NamedWeights(layer.name, layer.read()) for layer in stored]


@contextlib.contextmanager
def stored_layers(path: str) -> Iterator[List[StoredLayer]]:
    """Open a Keras h5 file and yield its layers that have weights, in order.

    The layers of a model that is itself a layer stand in its place. Nothing but names and shapes is
    read before StoredLayer.read() is called. Raises UserError, also for what is only found then.
    """
    import h5py

    _require_h5(path)
    try:
        with h5py.File(path, "r") as file:
            root = _member(file, "model_weights", path) if _has(file, "model_weights") else file
            if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
                raise UserError(
                    f"{path}: an h5 file in which no layer_names are, as Keras 2 writes them; "
                    + (f"it looks like one of Keras 3, or a .weights.h5; {AS_H5}"
                       if _has(file, "layers") else
                       "give one that model.save or model.save_weights wrote"))
            orders = _orders_of_inner_layers(file)
            stored: List[StoredLayer] = []
            for name in _names(root, "layer_names"):
                group = _member(root, name, path)
                arrays = {each: _numbers(group, each, path)
                          for each in _names(group, "weight_names")}
                stored += _split_into_layers(path, name, arrays, order=orders.get(name))
            yield stored
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(f"{path}: not an h5 file with Keras weights ({error}); get it again")


def _require_h5(path: str) -> None:
    """Raise UserError for what is no h5 file at first sight, saying what it is."""
    if os.path.isdir(path):
        raise UserError(f"{path}: a folder, as of a SavedModel, expected an h5 file; {AS_H5}")
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such weights file; train one with train_model.py")
    with open(path, "rb") as file:
        begin = file.read(len(ZIP))
    if begin == ZIP:
        raise UserError(f"{path}: a zip file, as Keras 3 writes them, expected an h5 file; {AS_H5}")


def _names(group: Any, attribute: str) -> List[str]:
    """A list of names in the attributes of a group: bytes or text, whole or in parts 0, 1, ..."""
    if attribute in group.attrs:
        values = list(group.attrs[attribute])
    else:
        values = []
        while attribute + str(len(values)) in group.attrs:
            values.append(group.attrs[attribute + str(len(values))])
        values = [value for part in values for value in part]
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _has(file: Any, name: str) -> bool:
    """Whether there is a link of this name, which is not followed."""
    return file.id.links.exists(name.encode())


def _member(group: Any, name: str, path: str) -> Any:
    """What is below a group, in the same file. Raises UserError where another file is named."""
    import h5py

    for part in name.split("/"):
        link = group.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink):
            place = f"{group.name.rstrip('/')}/{part}"
            raise UserError(f"{path}: {place} is a link to another place, expected the weights "
                            "themselves; get a file that holds them")
        group = group[part]
    return group


def _numbers(group: Any, name: str, path: str) -> Any:
    """A data set of floating-point numbers that are in this file. Raises UserError."""
    import h5py

    array = _member(group, name, path)
    found = None
    if not isinstance(array, h5py.Dataset):
        found = "a group"
    elif array.dtype.kind != "f":
        found = f"of type {array.dtype}"
    elif array.external or array.is_virtual:
        found = "kept in another file"
    elif array.shape is None:
        found = "empty"
    if found:
        raise UserError(f"{path}: the weights {name} are {found}, expected floating-point numbers; "
                        "get a file that holds them")
    return array


def _orders_of_inner_layers(file: Any) -> Dict[str, List[str]]:
    """For each model that is a layer, its layers' names in order, where the file says so."""
    config = file.attrs.get("model_config")
    if config is None:
        return {}
    layers = json.loads(config)["config"]
    layers = layers["layers"] if isinstance(layers, dict) else layers
    models = [layer["config"] for layer in layers if "layers" in layer["config"]]
    return {model["name"]: [layer["config"]["name"] for layer in model["layers"]]
            for model in models}


def _split_into_layers(path: str, name: str, arrays: Dict[str, Any],
                       order: Optional[List[str]]) -> List[StoredLayer]:
    """The layers whose weights stand together: one, or several where the layer is a model.

    arrays: by the names of the weights, such as block1_conv1/kernel:0; Keras lists those of a model
    with the trainable ones first. order: of its layers' names, None where nobody says.
    """
    by_layer: Dict[str, List[Any]] = {}
    for weight, array in arrays.items():
        layer = weight.split("/")[-2] if "/" in weight else name
        by_layer.setdefault(layer, []).append(array)
    if len(by_layer) <= 1:
        return [StoredLayer(path, name, each) for each in by_layer.values()]
    if order is not None and set(by_layer) <= set(order):
        by_layer = {layer: by_layer[layer] for layer in order if layer in by_layer}
    return [StoredLayer(path, layer, each) for layer, each in by_layer.items()]
