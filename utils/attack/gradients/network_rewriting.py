"""A Keras classifier as a list of layer_passes, rewritten so that they have less to do.

- Batch normalisation, an affine map at inference, is folded into the convolution before it.
- A strided 1 x 1 convolution is the convolution of a subsampled image, and what subsampling would
  drop is not computed. At the start of ResNet50's stages it looks at a quarter of the previous
  block's output; so the 3 x 3 and the second 1 x 1 convolution of that block need give only a
  quarter, a tenth of the network's work.
- Average pooling and a 1 x 1 convolution after it change places: the one averages over places, the
  other mixes channels, and a mean of the bias is the bias. InceptionV3 then pools 192 channels
  instead of up to 2,048.
"""

import numpy as np
from keras import activations, layers

from utils.attack.gradients.layer_passes import (
    Addition,
    AveragePooling,
    Concatenation,
    Convolution,
    Dense,
    GlobalAveragePooling,
    Layer,
    MaxPooling,
    Relu,
    Subsampling,
    ZeroPadding,
)

# Ours for a Keras layer, and the attributes of the latter that it takes.
_PLAIN = {
    layers.Concatenate: (Concatenation,),
    layers.Add: (Addition,),
    layers.MaxPooling2D: (MaxPooling, "pool_size", "strides", "padding"),
    layers.AveragePooling2D: (AveragePooling, "pool_size", "strides", "padding"),
    layers.GlobalAveragePooling2D: (GlobalAveragePooling,),
    layers.ZeroPadding2D: (ZeroPadding, "padding"),
}


def layers_of(model, session):
    """The layers in order, the model's input the first of them and its logits the last.

    model: a Keras classifier with a layer "logits", in `session`. Raises ValueError for a layer
    that has no backward pass in layer_passes.
    """
    weights = session.run({layer.name: layer.weights for layer in model.layers if layer.weights})
    ours, output = [], {}  # output: the last of ours for each Keras layer, by name
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            sources, its = [], [Layer()]
        else:
            sources = [output[parent.name] for parent in _parents(layer)]
            its = _converted(layer, sources, weights)
        ours += its
        output[layer.name] = (sources + its)[-1]
        if layer.name == "logits":
            break
    return _thinned(_pooled_late(ours))


def _parents(layer):
    return layer._inbound_nodes[0].inbound_layers


def _users(layer, ours):
    return [user for user in ours if layer in user.sources]


def _replace(old, new, ours):
    """Let all that use one of the layers `old` use `new`."""
    for layer in ours:
        layer.sources = [new if source in old else source for source in layer.sources]


def _pooled_late(ours):
    """The same network with each average pooling behind the 1 x 1 convolution that alone uses it,
    where that leaves fewer channels to pool."""
    for i, pooling in enumerate(ours):
        users = _users(pooling, ours)
        if (isinstance(pooling, AveragePooling) and pooling.keeps_size and len(users) == 1
                and isinstance(users[0], Convolution) and users[0].is_pointwise
                and users[0].narrows):
            convolution, = users
            _replace(users, pooling, ours)
            convolution.sources, pooling.sources = pooling.sources, users
            j = ours.index(convolution)
            ours[i], ours[j] = convolution, pooling
    return ours


def _thinned(ours):
    """The same network with each subsampling as early as possible: an elementwise layer or a
    convolution whose output is subsampled, equally for all its users, gives only that."""
    kept = []  # from the last to the first
    for layer in reversed(ours):
        users = _users(layer, kept)
        asked = {user.strides if isinstance(user, Subsampling) else None for user in users}
        kept.append(layer)
        if len(asked) == 1 and None not in asked and isinstance(
                layer, (Relu, Addition, Convolution)):
            strides, = asked
            kept = [other for other in kept if other not in users]
            _replace(users, layer, kept)
            if isinstance(layer, Convolution) and not layer.is_pointwise:
                layer.strides = tuple(a * b for a, b in zip(layer.strides, strides))
            else:
                layer.sources = [Subsampling(source, strides) for source in layer.sources]
                kept += layer.sources
    return kept[::-1]


def _converted(layer, sources, weights):
    """Our layers that, one after the other, do what the Keras layer does."""
    kind = type(layer)  # exactly: a subclass may do something else
    activation = getattr(layer, "activation", activations.linear)
    if (len(layer._inbound_nodes) > 1 or activation not in (activations.linear, activations.relu)
            or getattr(layer, "data_format", "channels_last") != "channels_last"
            or getattr(layer, "dilation_rate", (1, 1)) != (1, 1)
            or getattr(layer, "axis", -1) not in (-1, 3)):
        kind = None
    if kind is layers.Conv2D:
        its = _convolution(layer, sources[0], weights)
    elif kind is layers.Dense:
        its = [Dense(*sources, *_kernel_and_bias(layer, weights))]
    elif kind in _PLAIN:
        ours, *settings = _PLAIN[kind]
        its = [ours(*sources, *(getattr(layer, setting) for setting in settings))]
    elif kind is layers.Activation or (kind is layers.BatchNormalization  # folded into its parent
                                       and _normalisation_after(_parents(layer)[0]) is layer):
        its = []
    else:
        raise ValueError("layer \"{}\" ({}), as it is set or used, has no backward pass in {}"
                         .format(layer.name, type(layer).__name__, Layer.__module__))
    return its + [Relu((sources + its)[-1])] * (activation is activations.relu)


def _convolution(layer, source, weights):
    kernel, bias = _kernel_and_bias(layer, weights)
    normalisation = _normalisation_after(layer)
    if normalisation is not None:
        kernel, bias = _folded(kernel, bias, normalisation, weights)
    before, strides = [], layer.strides
    if layer.kernel_size == (1, 1) != strides:
        before, strides = [Subsampling(source, strides)], (1, 1)
    padding = tuple(_padding(*sizes) if layer.padding == "same" else (0, 0) for sizes
                    in zip(layer.input_shape[1:3], layer.kernel_size, strides))
    return before + [Convolution((before or [source])[0], kernel, bias, strides, padding)]


def _padding(size, window, stride):
    """TensorFlow's "SAME" along one axis: (zeros before, zeros after)."""
    zeros = max(0, (-(-size // stride) - 1) * stride + window - size)
    return zeros // 2, zeros - zeros // 2


def _kernel_and_bias(layer, weights):
    kernel, bias = weights[layer.name] if layer.use_bias else weights[layer.name] + [0]
    return kernel, np.broadcast_to(np.float32(bias), kernel.shape[-1:])


def _normalisation_after(layer):
    """The batch normalisation that alone uses the output of a linear convolution, or None."""
    users = [node.outbound_layer for node in layer._outbound_nodes]
    if (type(layer) is layers.Conv2D and layer.activation is activations.linear
            and [type(user) for user in users] == [layers.BatchNormalization]):
        return users[0]


def _folded(kernel, bias, normalisation, weights):
    """Kernel and bias of the convolution followed by its normalisation."""
    rest = [w.astype(np.float64) for w in weights[normalisation.name]]
    gamma = rest.pop(0) if normalisation.scale else 1
    beta = rest.pop(0) if normalisation.center else 0
    mean, variance = rest
    factor = gamma / np.sqrt(variance + normalisation.epsilon)
    return (kernel * factor).astype(np.float32), ((bias - mean) * factor + beta).astype(np.float32)
