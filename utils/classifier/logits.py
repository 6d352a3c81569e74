"""Where a Keras classifier has its logits: what its softmax or its sigmoid is computed from."""

from typing import Any, NamedTuple, Optional

from utils.common.errors import UserError

# What moves or keeps numbers, and may stand between the softmax and the output.
_TRANSPARENT = ("Flatten", "Reshape", "Dropout")
# What may stand before a layer without an activation whose outputs are logits.
_MAY_BE_LINEAR = ("Dense", "Conv2D", "GlobalAveragePooling2D")


class Head(NamedTuple):
    """How a network's outputs become logits.

    activated: the Keras layer whose activation is left out for the logits; None where the last
    layer's outputs are logits already. is_sigmoid: there is one output, f, and two classes: the
    logits are (0, f). classes: how many.
    """

    activated: Optional[Any]
    is_sigmoid: bool
    classes: int


def head_of(model: Any) -> Head:
    """Find what of a Keras model's last layers is to be left out, so that its outputs are logits.

    A softmax is left out; a sigmoid is, where it is the only output; the outputs of a last layer
    without an activation are logits. Raises UserError for anything else.
    """
    outputs = int(model.output.shape[-1])
    candidates = list(model.layers)
    while len(candidates) > 1 and type(candidates[-1]).__name__ in _TRANSPARENT:
        candidates.pop()
    layer = candidates[-1]
    if hasattr(layer, "layers"):  # a model as a layer
        head = head_of(layer)
        return head
    activation = _activation_name(layer)
    if activation == "softmax" and outputs > 1:
        return Head(layer, False, outputs)
    if activation == "sigmoid" and outputs == 1:
        return Head(layer, True, 2)
    if activation == "linear" and outputs > 1 and type(layer).__name__ in _MAY_BE_LINEAR:
        return Head(None, False, outputs)
    raise UserError(
        f"layer \"{layer.name}\" ({type(layer).__name__}, activation {activation}), the last one, "
        f"has {outputs} outputs; expected a softmax of two or more outputs, a sigmoid of one, or "
        "two or more logits")


def _activation_name(layer: Any) -> str:
    """The name of a layer's activation; "none" where it is no layer that could have one."""
    if type(layer).__name__ == "Softmax":
        return "softmax"
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "linear" if type(layer).__name__ in _MAY_BE_LINEAR else "none"
    return getattr(activation, "__name__", str(activation))
