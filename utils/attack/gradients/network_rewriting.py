"""A Keras classifier as a list of layer passes, rewritten so that they have less to do.

- Batch normalisation, an affine map at inference, is folded into the convolution before it, where
  there is one.
- A strided 1 x 1 convolution is the convolution of a subsampled image, and what subsampling would
  drop is not computed. At the start of ResNet50's stages it looks at a quarter of the previous
  block's output; so the 3 x 3 and the second 1 x 1 convolution of that block need give only a
  quarter, a tenth of the network's work.
- Average pooling and a 1 x 1 convolution after it change places: the one averages over places, the
  other mixes channels, and a mean of the bias is the bias. InceptionV3 then pools 192 channels
  instead of up to 2,048.

A layer that layer_passes does not have, as it is set, goes through tf.gradients; the rest of the
network stays as fast.
"""

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from utils.attack.gradients.layer_passes import (
    Addition,
    AveragePooling,
    Concatenation,
    Convolution,
    Dense,
    GlobalAveragePooling,
    LayerPass,
    MaxPooling,
    Normalisation,
    Relu,
    ScaledAddition,
    Subsampling,
    ThroughTensorFlow,
    TwoLogits,
    ZeroPadding,
)
from utils.classifier.frameworks import activations, layers, tf
from utils.classifier.logits import Head, head_of
from utils.classifier.scaled_addition import ScaledAddition as ScaledAdditionOfKeras

Weights = Dict[str, List[np.ndarray]]  # the arrays of each layer, by its name

# The pass of a Keras layer, and the attributes of the latter that it takes.
_PLAIN = {
    layers.Concatenate: (Concatenation, ()),
    layers.Add: (Addition, ()),
    ScaledAdditionOfKeras: (ScaledAddition, ("scale",)),
    layers.MaxPooling2D: (MaxPooling, ("pool_size", "strides", "padding")),
    layers.AveragePooling2D: (AveragePooling, ("pool_size", "strides", "padding")),
    layers.GlobalAveragePooling2D: (GlobalAveragePooling, ()),
    layers.ZeroPadding2D: (ZeroPadding, ("padding",)),
}

_ELEMENTWISE = (Relu, Addition, ScaledAddition, Normalisation)


def passes_of(model: Any, session: tf.Session) -> List[LayerPass]:
    """Return the passes in order, the network's input the first of them and its logits the last.

    model: a Keras classifier in `session`. Raises UserError where it has no logits, and ValueError
    where a layer is used more than once.
    """
    head = head_of(model)
    weights = session.run({layer.name: layer.weights for layer in model.layers if layer.weights})
    image = LayerPass()
    passes = [image]
    last_pass = {model.inputs[0]._keras_history[0].name: image}  # of each Keras layer, by name
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        sources = [last_pass[parent.name] for parent in _parents(layer)]
        added = _passes_of_layer(layer, sources, weights, head=head)
        passes += added
        last_pass[layer.name] = added[-1] if added else sources[0]
    if head.is_sigmoid:
        passes.append(TwoLogits(passes[-1]))
    return _subsample_early(_pool_late(passes))


def _parents(layer: Any) -> List[Any]:
    """The Keras layers whose outputs a layer takes."""
    if len(layer._inbound_nodes) != 1:
        raise ValueError(f"layer \"{layer.name}\" ({type(layer).__name__}) is a model itself, or "
                         "used more than once; expected a network of layers, each used once")
    parents = layer._inbound_nodes[0].inbound_layers
    return list(parents) if isinstance(parents, (list, tuple)) else [parents]


def _users(layer: LayerPass, passes: Sequence[LayerPass]) -> List[LayerPass]:
    return [user for user in passes if layer in user.sources]


def _replace(old: Sequence[LayerPass], new: LayerPass, passes: Sequence[LayerPass]) -> None:
    """Let all that use one of the passes `old` use `new`."""
    for each in passes:
        each.sources = [new if source in old else source for source in each.sources]


def _pool_late(passes: List[LayerPass]) -> List[LayerPass]:
    """Put each average pooling behind the 1 x 1 convolution that alone uses it.

    Only where that leaves fewer channels to pool; the network computes the same.
    """
    for i, pooling in enumerate(passes):
        users = _users(pooling, passes)
        if (isinstance(pooling, AveragePooling) and pooling.keeps_size and len(users) == 1
                and isinstance(users[0], Convolution) and users[0].is_pointwise
                and users[0].narrows):
            convolution, = users
            _replace(users, pooling, passes)
            convolution.sources, pooling.sources = pooling.sources, users
            j = passes.index(convolution)
            passes[i], passes[j] = convolution, pooling
    return passes


def _subsample_early(passes: List[LayerPass]) -> List[LayerPass]:
    """Subsample as early as possible; the network computes the same.

    An elementwise layer or a convolution whose output is subsampled, equally for all its users,
    gives only that.
    """
    rewritten: List[LayerPass] = []  # from the last to the first
    for layer in reversed(passes):
        users = _users(layer, rewritten)
        wanted = {user.strides if isinstance(user, Subsampling) else None for user in users}
        strides = wanted.pop() if len(wanted) == 1 else None
        rewritten.append(layer)
        if strides is not None and isinstance(layer, _ELEMENTWISE + (Convolution,)):
            rewritten = [other for other in rewritten if other not in users]
            _replace(users, layer, rewritten)
            if isinstance(layer, Convolution) and not layer.is_pointwise:
                layer.strides = (layer.strides[0] * strides[0], layer.strides[1] * strides[1])
            else:
                layer.sources = [Subsampling(source, strides) for source in layer.sources]
                rewritten += layer.sources
    return rewritten[::-1]


def _passes_of_layer(layer: Any, sources: List[LayerPass], weights: Weights,
                     head: Head) -> List[LayerPass]:
    """Return the passes that, one after the other, do what the Keras layer does.

    There are none where another layer's do it, or where it does nothing at inference.
    """
    kind = type(layer)  # exactly: a subclass may do something else
    activation = getattr(layer, "activation", activations.linear)
    if layer is head.activated:
        activation = activations.linear
        if kind is layers.Softmax:
            return []
    if (kind in (layers.Dropout, layers.SpatialDropout2D)
            or kind is layers.Activation and activation is activations.linear):
        return []
    if kind is layers.BatchNormalization and _normalisation_after(_parents(layer)[0]) is layer:
        return []  # folded into its parent
    if kind is layers.BatchNormalization and _normalises_channels(layer):
        factor, shift = _factor_and_shift(layer, 0, weights)
        return [Normalisation(sources[0], np.float32(factor), np.float32(shift))]
    if not _has_plain_settings(layer, activation):
        return [ThroughTensorFlow(_call_of(layer, activation), kind.__name__, *sources)]
    if kind is layers.Activation:
        passes = []
    elif kind is layers.Conv2D:
        passes = _convolution(layer, sources[0], weights)
    elif kind is layers.Dense:
        passes = [Dense(sources[0], *_kernel_and_bias(layer, weights))]
    else:
        pass_class, settings = _PLAIN[kind]
        passes = [pass_class(*sources, *(getattr(layer, setting) for setting in settings))]
    if activation is activations.relu:
        passes.append(Relu(passes[-1] if passes else sources[0]))
    return passes


def _has_plain_settings(layer: Any, activation: Callable) -> bool:
    """Whether layer_passes has the layer as it is set."""
    kind = type(layer)
    return ((kind in _PLAIN or kind in (layers.Activation, layers.Conv2D, layers.Dense))
            and activation in (activations.linear, activations.relu)
            and getattr(layer, "data_format", "channels_last") in ("channels_last", None)
            and getattr(layer, "dilation_rate", (1, 1)) == (1, 1)
            and getattr(layer, "axis", -1) in (-1, 3)
            and not getattr(layer, "keepdims", False)
            and (kind is not layers.Dense or len(layer.input_shape) == 2))


def _call_of(layer: Any, activation: Callable) -> Callable[..., tf.Tensor]:
    """The layer as a function of tensors, with this activation, which may not be its own."""
    # Without it the operations that train a normalisation are built, too.
    arguments = {"training": False} if isinstance(layer, layers.BatchNormalization) else {}

    def call(*inputs: tf.Tensor) -> tf.Tensor:
        usual_activation = getattr(layer, "activation", None)
        if usual_activation is not None:
            layer.activation = activation
        try:
            output = layer.call(inputs[0] if len(inputs) == 1 else list(inputs), **arguments)
        finally:
            if usual_activation is not None:
                layer.activation = usual_activation
        output.set_shape((None,) + tuple(layer.output_shape[1:]))
        return output
    return call


def _convolution(layer: Any, source: LayerPass, weights: Weights) -> List[LayerPass]:
    kernel, bias = _kernel_and_bias(layer, weights)
    normalisation = _normalisation_after(layer)
    if normalisation is not None:
        kernel, bias = _folded(kernel, bias, normalisation, weights=weights)
    passes: List[LayerPass] = []
    strides = layer.strides
    if layer.kernel_size == (1, 1) != strides:
        source, strides = Subsampling(source, strides), (1, 1)
        passes.append(source)
    padding = ((0, 0), (0, 0))
    if layer.padding == "same":
        (_, height, width, _), (rows, columns) = layer.input_shape, layer.kernel_size
        padding = (_zeros_around(height, rows, strides[0]),
                   _zeros_around(width, columns, strides[1]))
    passes.append(Convolution(source, kernel, bias, strides=strides, padding=padding))
    return passes


def _zeros_around(size: int, window: int, stride: int) -> Tuple[int, int]:
    """TensorFlow's "SAME" along one axis: (zeros before, zeros after)."""
    zeros = max(0, (-(-size // stride) - 1) * stride + window - size)
    return zeros // 2, zeros - zeros // 2


def _kernel_and_bias(layer: Any, weights: Weights) -> Tuple[np.ndarray, np.ndarray]:
    kernel, bias = weights[layer.name] if layer.use_bias else weights[layer.name] + [0]
    return kernel, np.broadcast_to(np.float32(bias), kernel.shape[-1:])


def _normalisation_after(layer: Any) -> Optional[Any]:
    """The batch normalisation that alone uses the output of a linear convolution, or None."""
    users = [node.outbound_layer for node in layer._outbound_nodes]
    if (type(layer) is layers.Conv2D and len(users) == 1
            and type(users[0]) is layers.BatchNormalization and _normalises_channels(users[0])
            and _has_plain_settings(layer, layer.activation)
            and layer.activation is activations.linear):
        return users[0]
    return None


def _normalises_channels(normalisation: Any) -> bool:
    axis, last = normalisation.axis, len(normalisation.input_shape) - 1
    return (list(axis) if isinstance(axis, (list, tuple)) else [axis]) in ([-1], [last])


def _folded(kernel: np.ndarray, bias: np.ndarray, normalisation: Any,
            weights: Weights) -> Tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of the convolution followed by its normalisation."""
    factor, shift = _factor_and_shift(normalisation, bias, weights)
    return (kernel * factor).astype(np.float32), shift.astype(np.float32)


def _factor_and_shift(normalisation: Any, bias: np.ndarray,
                      weights: Weights) -> Tuple[np.ndarray, np.ndarray]:
    """What the normalisation makes of x + bias, as factor * x + shift: float64 (channels,)."""
    rest = [w.astype(np.float64) for w in weights[normalisation.name]]
    gamma = rest.pop(0) if normalisation.scale else 1
    beta = rest.pop(0) if normalisation.center else 0
    mean, variance = rest
    factor = gamma / np.sqrt(variance + normalisation.epsilon)
    return factor, (bias - mean) * factor + beta
