"""The one layer of Keras' networks that Keras has no class for."""

from typing import Any, Dict, Sequence

from utils.classifier.frameworks import layers


class ScaledAddition(layers.Layer):
    """x + scale * y for two inputs x and y: how InceptionResNetV2 adds the result of a block.

    keras_applications makes it a Lambda layer, which puts code into the file of a saved model; a
    layer of a class of its own is known by its name.
    """

    def __init__(self, scale: float, **options: Any) -> None:
        super().__init__(**options)
        self.scale = scale

    def call(self, inputs: Sequence[Any]) -> Any:
        """Return x + scale * y. inputs: the tensors x and y, of the same shape."""
        x, y = inputs
        return x + y * self.scale

    def compute_output_shape(self, input_shape: Sequence[Any]) -> Any:
        """Return the shape of x."""
        return input_shape[0]

    def get_config(self) -> Dict[str, Any]:
        """Return the settings of the layer, for a saved model."""
        return dict(super().get_config(), scale=self.scale)


def in_place_of_lambda(function: Any, output_shape: Any, arguments: Dict[str, float],
                       name: str) -> ScaledAddition:
    """Return what keras_applications gets for the Lambda layers of InceptionResNetV2."""
    return ScaledAddition(arguments["scale"], name=name)
