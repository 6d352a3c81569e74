"""Networks that other code made, in h5 files of Keras 2, with what they do to their pixels.

Such a network is built from the list of its layers, layer_list.py, and never by Keras' load_model,
which would run the code that a file may hold.
"""

import json
import re
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from utils.classifier.architectures import build_classifier
from utils.classifier.layer_list import NETWORK_INPUT, LayerList, LayerOfFile, layers_of_config
from utils.classifier.preprocessing import Preprocessing, as_convolution
from utils.classifier.session import set_first_values, start_session
from utils.classifier.weights import AS_H5, stored_layers, weights_with_top
from utils.common.errors import UserError

Arrays = Dict[str, List[np.ndarray]]  # the weights of each layer, by its name in a LayerList

PREPROCESSING = "preprocessing"  # the name of the layer in front
MEND = "save the whole model again with model.save(\"FILE.h5\") of Keras 2"


def read_configuration(path: str) -> Any:
    """Return the configuration of the model in an h5 file, as JSON. Raises UserError."""
    import h5py

    with stored_layers(path):  # says what else a file is
        pass
    with h5py.File(path, "r") as file:
        version = _text(file.attrs.get("keras_version", b""))
        if version.startswith("3"):
            raise UserError(f"{path}: written by Keras {version:.20}, expected a file of Keras 2; "
                            f"{AS_H5}")
        group = file["model_weights"] if "model_weights" in file else file
        if _is_text(group, "layer_names"):
            raise UserError(f"{path}: the names of its layers are text where Keras writes bytes: "
                            f"another program wrote this file; {MEND}")
        config = file.attrs.get("model_config")
    if config is None:
        raise UserError(f"{path}: holds weights and no model; give --model ARCHITECTURE, or {MEND}")
    try:
        return json.loads(_text(config))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its model_config is not JSON ({error!s:.200}); {MEND}")


def _is_text(group: Any, attribute: str) -> bool:
    """Return whether an attribute holds text in Unicode.

    Keras writes bytes, which h5py reads as bytes or as text, depending on its version.
    """
    import h5py

    if attribute not in group.attrs:
        return False
    stored = group.attrs.get_id(attribute).get_type()
    return (isinstance(stored, h5py.h5t.TypeStringID)
            and stored.get_cset() == h5py.h5t.CSET_UTF8)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def read_network(path: str) -> Any:
    """Build the Keras model of an h5 file, with its weights, in a session for inference.

    Raises UserError.
    """
    layers, arrays = layers_of_file(path)
    return build_network(layers, arrays, path)


def layers_of_file(path: str) -> Tuple[LayerList, Arrays]:
    """Read the layers of the whole model in an h5 file, and their weights. Raises UserError."""
    layers = layers_of_config(read_configuration(path), path)
    return layers, read_arrays(path, layers)


def layers_of_weights(path: str, architecture: str, image_size: int,
                      classes: int) -> Tuple[LayerList, Arrays]:
    """Read the weights of one of Keras' networks with global average pooling and a dense layer.

    Returns its layers, and their weights, which are those of the h5 file `path`, in order, whatever
    their names are. Raises UserError.
    """
    start_session(0, inference=True)
    model = build_classifier(architecture, image_size, classes)
    layers = layers_of_config(json.loads(model.to_json()), path)
    return layers, weights_with_top(model, path, architecture)


def read_arrays(path: str, layers: LayerList) -> Arrays:
    """Read the weights of the layers of an h5 file. Raises UserError."""
    with stored_layers(path) as stored:
        by_name = {layer.name: layer for layer in stored}
        arrays = {}
        for layer in layers.layers:
            stored_layer = _of_layer(layer, by_name)
            if stored_layer is not None:
                arrays[layer.name] = [value.astype(np.float32) for value in stored_layer.read()]
    return arrays


def _of_layer(layer: LayerOfFile, stored: Dict[str, Any]) -> Optional[Any]:
    """The weights that a file has for a layer, under its name; None where it has none.

    TensorFlow adds a number to the names of the weights of a model that was built several times in
    one session. A model of a single layer with weights stands under its own name.
    """
    name = layer.path[-1]
    if name in stored:
        return stored[name]
    numbered = [each for each in stored if re.fullmatch(re.escape(name) + r"_\d+", each)]
    if len(layer.path) > 1 and len(numbered) == 1:
        return stored[numbered[0]]
    return next((stored[model] for model in layer.path[-2::-1] if model in stored), None)


def with_preprocessing(layers: LayerList, arrays: Arrays, preprocessing: Preprocessing,
                       image_size: int) -> LayerList:
    """Put a convolution in front, so that the network takes (pixels - 128) / 128, RGB.

    Its weights are added to `arrays`. image_size: height and width of the images from then on.
    """
    channels = layers.input_shape[2]
    name = PREPROCESSING
    while any(layer.name == name for layer in layers.layers):
        name += "_"
    front = LayerOfFile(name, "Conv2D", {"filters": channels, "kernel_size": (1, 1)},
                        sources=(NETWORK_INPUT,), path=(name,))
    behind = []
    for layer in layers.layers:
        sources = tuple(name if source == NETWORK_INPUT else source for source in layer.sources)
        behind.append(layer._replace(sources=sources))
    arrays[name] = list(as_convolution(preprocessing, channels))
    return LayerList((image_size, image_size, 3), [front] + behind)


def build_network(layers: LayerList, arrays: Arrays, where: str) -> Any:
    """Build a Keras model of the layers and give it these weights.

    where: the file, to begin a message. Raises UserError for what does not fit together.
    """
    from utils.classifier.frameworks import keras

    image = keras.Input(layers.input_shape)
    outputs = {NETWORK_INPUT: image}
    values: List[Any] = []
    for layer in layers.layers:
        try:
            inputs = [outputs[source] for source in layer.sources]
            made = _class_of(layer)(name=layer.name, **layer.settings)
            # Without it the operations that train a normalisation are built, in seconds.
            options = {"training": False} if layer.class_name == "BatchNormalization" else {}
            outputs[layer.name] = made(inputs if len(inputs) > 1 else inputs[0], **options)
        except Exception as error:  # Keras and TensorFlow raise almost any
            raise UserError(f"{where}: layer \"{layer.name:.80}\" ({layer.class_name}) cannot be "
                            f"built ({' '.join(str(error).split())[:200]}); {MEND}")
        given = arrays.get(layer.name, [])
        expected = [tuple(weight.shape.as_list()) for weight in made.weights]
        shapes = [value.shape for value in given]
        if shapes != expected:
            raise UserError(f"{where}: the weights of layer \"{layer.name:.80}\" have the shapes "
                            f"{shapes}, expected {expected}; {MEND}")
        values += zip(made.weights, given)
    set_first_values(values)
    return keras.Model(image, outputs[layers.layers[-1].name])


def _class_of(layer: LayerOfFile) -> Any:
    from utils.classifier.frameworks import layers
    from utils.classifier.scaled_addition import ScaledAddition

    return ScaledAddition if layer.class_name == "ScaledAddition" else getattr(
        layers, layer.class_name)
