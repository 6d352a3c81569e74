"""A Keras network as a plain list of layers, read from the configuration in its file.

The configuration is data: class names and settings. What is built of it is chosen from the list
here, and nothing else: a file can hold code, in Lambda layers, or ask for classes of its author,
and neither is ever run. Models inside the model, and layers that are used several times, are
written out, so that each layer of the list is used once.
"""

from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from utils.common.errors import UserError

_CONVOLUTION = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "activation",
                "use_bias")
_POOLING = ("pool_size", "strides", "padding")
# The layers that can be built, and their settings.
LAYER_SETTINGS: Dict[str, Sequence[str]] = {
    "Conv2D": _CONVOLUTION,
    "SeparableConv2D": _CONVOLUTION + ("depth_multiplier",),
    "Conv2DTranspose": _CONVOLUTION + ("output_padding",),
    "DepthwiseConv2D": ("kernel_size", "strides", "padding", "depth_multiplier", "activation",
                        "use_bias"),
    "Dense": ("units", "activation", "use_bias"),
    "BatchNormalization": ("axis", "epsilon", "center", "scale"),
    "Activation": ("activation",), "ReLU": ("max_value", "negative_slope", "threshold"),
    "LeakyReLU": ("alpha",), "ELU": ("alpha",), "ThresholdedReLU": ("theta",),
    "PReLU": ("shared_axes",), "Softmax": ("axis",),
    "MaxPooling2D": _POOLING, "AveragePooling2D": _POOLING,
    "GlobalAveragePooling2D": (), "GlobalMaxPooling2D": (),
    "Flatten": (), "Reshape": ("target_shape",), "Permute": ("dims",),
    "ZeroPadding2D": ("padding",), "Cropping2D": ("cropping",),
    "UpSampling2D": ("size", "interpolation"),
    "Add": (), "Subtract": (), "Multiply": (), "Average": (), "Maximum": (), "Minimum": (),
    "Concatenate": ("axis",), "ScaledAddition": ("scale",),
}
# These do nothing once a network is trained.
_FOR_TRAINING = ("Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise",
                 "AlphaDropout", "ActivityRegularization", "RandomFlip", "RandomRotation",
                 "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness")
_MODELS = ("Model", "Functional", "Sequential")
_OTHER_NAMES = {"BatchNormalizationV1": "BatchNormalization",
                "BatchNormalizationV2": "BatchNormalization"}
# What newer versions of Keras have for the beginning of a network.
_PREPARING_PIXELS = {"Rescaling", "Normalization"}
_ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus",
                "softsign", "hard_sigmoid", "exponential", "swish", "gelu")
# Settings that no built layer needs: they matter in training alone, or are looked at elsewhere.
_UNIMPORTANT = {"name", "trainable", "dtype", "batch_input_shape", "batch_size", "data_format",
                "momentum", "fused", "synchronized", "rank"}
_UNIMPORTANT_ENDS = ("_initializer", "_regularizer", "_constraint")
# Settings that only other versions of Keras have, and their value where they change nothing.
_NEUTRAL = {"groups": 1, "keepdims": False, "renorm": False, "virtual_batch_size": None,
            "adjustment": None, "dilation_rate": [1, 1], "output_padding": None}


class LayerOfFile(NamedTuple):
    """One layer.

    class_name: a key of LAYER_SETTINGS. settings: of its constructor. sources: the names of the
    layers whose outputs it takes, or NETWORK_INPUT. path: where its weights are: its name in the
    file, after the names of the models that it is in.
    """

    name: str
    class_name: str
    settings: Dict[str, Any]
    sources: Tuple[str, ...]
    path: Tuple[str, ...]


NETWORK_INPUT = "image"  # in the place of a layer's name: the network's input


class LayerList(NamedTuple):
    """The layers of a network.

    input_shape: (height, width, channels), of which the first two may be None. layers: in an order
    in which sources come first; the last one gives the output.
    """

    input_shape: Tuple[Any, Any, int]
    layers: List[LayerOfFile]


def layers_of_config(config: Any, where: str) -> LayerList:
    """Read the configuration of a Keras model: {"class_name": ..., "config": ...}.

    where: the file, to begin a message. Raises UserError, naming the layers, for all that cannot be
    built.
    """
    try:
        _refuse_unknown_layers(config, where)
        _refuse_several_inputs_or_outputs(config, where)
        shape = _input_shape(config, where)
        reader = _Reader(where)
        reader.read_model(config, [NETWORK_INPUT], ())
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        raise UserError(f"{where}: its model_config is not one of Keras ({error!r:.200}); save the "
                        "model again")
    if not reader.layers:
        raise UserError(f"{where}: a model without layers; save the model again")
    return LayerList(shape, reader.layers)


def _layers_within(config: Any) -> List[Any]:
    """The configurations of a model's layers; old files have the bare list."""
    inside = config["config"]
    return inside if isinstance(inside, list) else inside["layers"]


def _all_layers(config: Any) -> Iterator[Any]:
    """The configurations of the layers of a model and of the models in it."""
    for layer in _layers_within(config):
        if layer["class_name"] in _MODELS:
            yield from _all_layers(layer)
        else:
            yield layer


def _refuse_unknown_layers(config: Any, where: str) -> None:
    if config["class_name"] not in _MODELS:
        raise UserError(f"{where}: the model is a {config['class_name']!s:.80}, a class of its "
                        "author's; expected a functional or a sequential model")
    unknown = []
    for layer in _all_layers(config):
        name = layer["class_name"]
        if (_OTHER_NAMES.get(name, name) not in LAYER_SETTINGS and name != "InputLayer"
                and name not in _FOR_TRAINING):
            unknown.append((layer["config"]["name"], name))
    if unknown:
        named = ", ".join(f"\"{name!s:.80}\" ({kind!s:.80})" for name, kind in unknown[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        is_code = any(kind == "Lambda" for _, kind in unknown)
        why = ("a Lambda layer is code of the file's author, which is never run" if is_code else
               "layers of other classes cannot be built")
        mend = ("give --model ARCHITECTURE where the network is one of Keras' own, or save one "
                "that is made of Keras' layers for images")
        if {kind for _, kind in unknown} <= _PREPARING_PIXELS:
            mend = "save the model without them, and say with --preprocessing what they do"
        raise UserError(f"{where}: layer {named}{more}: {why}; {mend}")


def _refuse_several_inputs_or_outputs(config: Any, where: str) -> None:
    if config["class_name"] == "Sequential":
        return
    for key, what in (("input_layers", "inputs"), ("output_layers", "outputs")):
        count = len(_references(config["config"][key]))
        if count != 1:
            raise UserError(f"{where}: the model has {count} {what}; expected one, so that it "
                            "takes an image and gives its classes")


def _references(value: Any) -> List[Any]:
    """A list of references [name, node, tensor]; one alone may stand without its list."""
    return [value] if value and isinstance(value[0], str) else value


def _input_shape(config: Any, where: str) -> Tuple[Any, Any, int]:
    """(height, width, channels) of what the model takes."""
    layer: Any = config
    while layer["class_name"] in _MODELS:
        model = layer
        if model["class_name"] == "Sequential":
            layer = _layers_within(model)[0]
        else:
            name = _references(model["config"]["input_layers"])[0][0]
            layer = next(each for each in _layers_within(model) if each["config"]["name"] == name)
    settings = layer["config"]
    shape = settings.get("batch_input_shape", settings.get("batch_shape"))
    if shape is None:
        shape = model["config"].get("build_input_shape", model["config"].get("batch_input_shape"))
    if shape is None:
        raise UserError(f"{where}: the shape of the model's input is not in the file; give its "
                        "first layer an input_shape and save it again")
    if len(shape) != 4:
        raise UserError(f"{where}: the model takes inputs of shape {tuple(shape[1:])}; expected "
                        "images, (height, width, 3) or (height, width, 1)")
    if shape[1] in (1, 3) and shape[3] not in (1, 3) or any(
            each["config"].get("data_format") == "channels_first" for each in _all_layers(config)):
        raise UserError(f"{where}: the model takes images with their channels first, "
                        f"{tuple(shape[1:])}; expected channels last, (height, width, 3)")
    if shape[3] not in (1, 3):
        raise UserError(f"{where}: the model takes images of {shape[3]} channels; expected 3, or 1 "
                        "of grey images")
    height, width = shape[1:3]
    for size in (height, width):
        if size is not None and not (isinstance(size, int) and size > 0):
            raise UserError(f"{where}: the model takes images of {height} x {width} pixels; "
                            "expected whole numbers above 0")
    return height, width, shape[3]


class _Reader:
    """Collects the layers of a model in self.layers, those of the models in it too."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.layers: List[LayerOfFile] = []
        self._names = {NETWORK_INPUT}

    def read_model(self, config: Any, inputs: List[str], path: Tuple[str, ...]) -> str:
        """Add the layers of a model.

        inputs: the names of the layers that feed it. Returns the name of the layer that gives its
        output.
        """
        if config["class_name"] == "Sequential":
            output, = inputs
            for layer in _layers_within(config):
                output = self._read_layer(layer, [output], path)
            return output
        return self._read_functional(config["config"], inputs, path)

    def _read_functional(self, config: Any, inputs: List[str], path: Tuple[str, ...]) -> str:
        """Add the layers of a functional model.

        A layer's output is known once its sources' are: as often as one becomes known, those that
        wait for it are looked at again.
        """
        outputs = {(reference[0], reference[1]): name for reference, name
                   in zip(_references(config["input_layers"]), inputs)}
        first = _first_nodes(config)
        waiting = [(layer, number, node) for layer in config["layers"]
                   for number, node in enumerate(layer["inbound_nodes"], first[layer["name"]])]
        while waiting:
            still_waiting = []
            for layer, number, node in waiting:
                sources = [(reference[0], reference[1]) for reference in node]
                if not all(source in outputs for source in sources):
                    still_waiting.append((layer, number, node))
                    continue
                for reference in node:
                    self._refuse_arguments(layer, reference)
                outputs[layer["name"], number] = self._read_layer(
                    layer, [outputs[source] for source in sources], path)
            if len(still_waiting) == len(waiting):
                raise UserError(f"{self.where}: layer \"{waiting[0][0]['name']!s:.80}\" takes its "
                                "input from no layer of the model; save the model again")
            waiting = still_waiting
        (name, number, *_), = _references(config["output_layers"])
        return outputs[name, number]

    def _refuse_arguments(self, layer: Any, reference: Any) -> None:
        given = reference[3] if len(reference) > 3 else {}
        unknown = sorted(key for key, value in given.items()
                         if key != "training" and value is not None)
        if unknown:
            raise UserError(f"{self.where}: layer \"{layer['name']!s:.80}\" is called with "
                            f"{', '.join(unknown)!s:.80}, which cannot be built; save a model "
                            "without it")

    def _read_layer(self, layer: Any, sources: List[str], path: Tuple[str, ...]) -> str:
        class_name = _OTHER_NAMES.get(layer["class_name"], layer["class_name"])
        config = layer["config"]
        if class_name in _MODELS:
            inner = config if isinstance(config, dict) else {}
            name = layer.get("name", inner.get("name"))
            return self.read_model(layer, sources, path + (name,))
        if class_name == "InputLayer" or class_name in _FOR_TRAINING:
            source, = sources
            return source
        name = config["name"]
        settings = self._settings(class_name, config)
        number, unique = 1, name
        while unique in self._names:
            number += 1
            unique = f"{name}_{number}"
        self._names.add(unique)
        self.layers.append(LayerOfFile(
            name=unique, class_name=class_name, settings=settings, sources=tuple(sources),
            path=path + (name,)))
        return unique

    def _settings(self, class_name: str, config: Dict[str, Any]) -> Dict[str, Any]:
        """The settings that are wanted of a layer; UserError for one that cannot be ignored."""
        settings = {key: config[key] for key in LAYER_SETTINGS[class_name] if key in config}
        for key, value in config.items():
            if key in settings or key in _UNIMPORTANT or key.endswith(_UNIMPORTANT_ENDS):
                continue
            if key not in _NEUTRAL or value not in (_NEUTRAL[key], None):
                raise UserError(
                    f"{self.where}: layer \"{config['name']!s:.80}\" ({class_name}) has the "
                    f"setting {key!s:.80} = {value!s:.80}, which cannot be built; save a model "
                    "without it")
        if "activation" in settings:
            settings["activation"] = self._activation(config)
        for key, value in settings.items():
            if isinstance(value, (list, tuple)):
                settings[key] = _as_tuple(value)
        if class_name == "BatchNormalization" and isinstance(settings.get("axis"), tuple):
            settings["axis"], = settings["axis"]
        if settings.get("output_padding", 0) is None:
            del settings["output_padding"]
        return settings

    def _activation(self, config: Dict[str, Any]) -> str:
        from utils.classifier.frameworks import activations

        name = config["activation"] or "linear"
        known = [each for each in _ACTIVATIONS if hasattr(activations, each)]
        if name not in known:
            raise UserError(f"{self.where}: layer \"{config['name']!s:.80}\" has the activation "
                            f"{name!s:.80}, a function of its author's; expected one of Keras': "
                            f"{', '.join(known)}")
        return name


def _first_nodes(config: Any) -> Dict[str, int]:
    """Return from which number the nodes of each layer count.

    It is 1 for most models as layers, which have a node of their own before; and it is the smallest
    number that any layer refers to.
    """
    numbers: Dict[str, List[int]] = {layer["name"]: [] for layer in config["layers"]}
    references = [reference for layer in config["layers"] for node in layer["inbound_nodes"]
                  for reference in node] + list(_references(config["output_layers"]))
    for name, number, *_ in references:
        numbers.get(name, []).append(number)
    return {name: min(each, default=0) for name, each in numbers.items()}


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(each) for each in value) if isinstance(value, (list, tuple)) else value
