"""The layers of the classifiers, each with a forward and a backward pass in TensorFlow operations.

forward: from the layer's inputs, each (n, h, w, c), to its output.
backward: from the gradient with respect to the output, (m, h, w, c), where m is known when the
    graph is built, the output, and the inputs, both of one image, n = 1, to the list of the
    gradients with respect to each input, (m, h, w, c).

The height and the width of all images are known when the graph is built.
"""

from typing import Callable, List, Tuple

import numpy as np

from utils.classifier.convolution_gradients import (
    as_padding,
    convolve_flipped,
    flipped,
    flipped_kernel_gradients,
)
from utils.classifier.frameworks import KNOWN_MAXIMA_SPEED_UP_POOLING, tf

Strides = Tuple[int, int]  # down, right
Padding = Tuple[Tuple[int, int], Tuple[int, int]]  # zeros: (above, below), (left, right)


class LayerPass:
    """The two passes of a layer. The base class itself stands for the network's input.

    sources: the passes whose outputs are the inputs of this one.
    """

    def __init__(self, *sources: "LayerPass") -> None:
        self.sources = list(sources)

    def prepare(self, constant: Callable[[np.ndarray], tf.Tensor]) -> None:
        """Make the tensors of the weights; called once, when the network is settled.

        constant: function, float32 array -> its tensor.
        """

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Return the output for these inputs."""
        raise NotImplementedError

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        """Return the gradients with respect to the inputs, which tf.gradients makes of forward().

        The image is repeated m times, for tf.gradients wants one cotangent for each image. Of the
        repeated forward pass, TensorFlow computes only what the gradients depend on: nothing for a
        linear layer.
        """
        m = int(gradient.shape[0])
        copies = [tf.tile(x, [m] + [1] * (len(x.shape) - 1)) for x in inputs]
        with flipped_kernel_gradients():
            outputs = self.forward(*copies)
        gradients = tf.gradients(outputs, copies, gradient)
        return [tf.zeros_like(copy) if each is None else each
                for copy, each in zip(copies, gradients)]


class Convolution(LayerPass):
    """A convolution with a bias.

    kernel: float32 (rows, columns, in, out). bias: float32 (out,). padding: with zeros.
    """

    def __init__(self, source: LayerPass, kernel: np.ndarray, bias: np.ndarray, strides: Strides,
                 padding: Padding) -> None:
        super().__init__(source)
        self.strides = strides
        self.is_pointwise = kernel.shape[:2] == (1, 1)
        self.narrows = kernel.shape[3] < kernel.shape[2]
        self._kernel_values, self._bias_values, self._padding = kernel, bias, padding

    def prepare(self, constant: Callable[[np.ndarray], tf.Tensor]) -> None:
        kernel = self._kernel_values
        self._kernel, self._bias = constant(kernel), constant(self._bias_values)
        self._flipped = []
        rows, columns, channels, _ = kernel.shape
        down, right = self.strides
        # On the image's 3 channels, a product with 3 columns leaves the vector units idle;
        # Conv2DBackpropInput has rows * columns * 3 of them.
        if channels > 3 and down == right <= min(rows, columns):
            self._flipped = [constant(flipped(kernel[i::down, j::right]))
                             for i in range(down) for j in range(right)]

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.nn.bias_add(tf.nn.conv2d(x, self._kernel, (1,) + self.strides + (1,),
                                           as_padding(*self._padding)), self._bias)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        """Convolve the gradient forward, which is faster than Conv2DBackpropInput.

        At strides (d, d), row d * p + i of the padded image gets its gradient from rows i, i + d,
        ... of the kernel alone, and columns likewise: d x d small convolutions take turns.
        """
        x, = inputs
        shape = [int(gradient.shape[0])] + x.shape.as_list()[1:]
        if not self._flipped:
            return [tf.nn.conv2d_backprop_input(shape, self._kernel, gradient,
                                                (1,) + self.strides + (1,),
                                                as_padding(*self._padding))]
        d, _ = self.strides
        before = [zeros for zeros, _ in self._padding]
        after = [-(-(zeros + whole) // d) - int(given) for zeros, whole, given
                 in zip(before, shape[1:3], gradient.shape[1:3])]
        parts = []
        for kernel in self._flipped:
            vertical, horizontal = [
                (int(size) - 1 - zeros // d, more)
                for size, zeros, more in zip(kernel.shape[:2], before, after)]
            parts.append(convolve_flipped(gradient, kernel, vertical, horizontal=horizontal))
        whole = parts[0] if d == 1 else tf.depth_to_space(tf.concat(parts, -1), d)
        if whole.shape.as_list() == shape:  # a slice is four operations, in each layer
            return [whole]
        top, left = [zeros % d for zeros in before]
        return [whole[:, top:top + shape[1], left:left + shape[2]]]


class Subsampling(LayerPass):
    """Every strides[0]-th row and every strides[1]-th column, from the first on."""

    def __init__(self, source: LayerPass, strides: Strides) -> None:
        super().__init__(source)
        self.strides = strides

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return x[:, ::self.strides[0], ::self.strides[1]]

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        x, = inputs
        (_, height, width, channels), (down, right) = x.shape.as_list(), self.strides
        _, rows, columns, _ = gradient.shape.as_list()
        spread = tf.pad(gradient[:, :, tf.newaxis, :, tf.newaxis],
                        ((0, 0), (0, 0), (0, down - 1), (0, 0), (0, right - 1), (0, 0)))
        whole = tf.reshape(spread, (-1, rows * down, columns * right, channels))
        return [whole[:, :height, :width]]


class Relu(LayerPass):
    """The rectifier, max(x, 0)."""

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.nn.relu(x)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        return [gradient * tf.sign(output)]  # 0 or 1: one mask for the m gradients


class Addition(LayerPass):
    """The sum of the inputs."""

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        return tf.add_n(inputs)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        return [gradient for _ in inputs]


class ScaledAddition(LayerPass):
    """x + scale * y of two inputs x and y."""

    def __init__(self, x: LayerPass, y: LayerPass, scale: float) -> None:
        super().__init__(x, y)
        self._scale = scale

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, y = inputs
        return x + y * self._scale

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        return [gradient, gradient * self._scale]


class Normalisation(LayerPass):
    """Batch normalisation at inference: factor * x + shift in each channel.

    factor, shift: float32 (channels,).
    """

    def __init__(self, source: LayerPass, factor: np.ndarray, shift: np.ndarray) -> None:
        super().__init__(source)
        self._factor_values, self._shift_values = factor, shift

    def prepare(self, constant: Callable[[np.ndarray], tf.Tensor]) -> None:
        self._factor, self._shift = constant(self._factor_values), constant(self._shift_values)

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.nn.bias_add(x * self._factor, self._shift)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        return [gradient * self._factor]


class Concatenation(LayerPass):
    """The channels of all inputs, one after the other."""

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        return tf.concat(inputs, -1)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        return tf.split(gradient, [int(part.shape[-1]) for part in inputs], -1)


class ZeroPadding(LayerPass):
    """The image with zeros around it."""

    def __init__(self, source: LayerPass, padding: Padding) -> None:
        super().__init__(source)
        self._padding = padding

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.pad(x, ((0, 0),) + tuple(self._padding) + ((0, 0),))

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        x, = inputs
        (top, _), (left, _) = self._padding
        _, height, width, _ = x.shape.as_list()
        return [gradient[:, top:top + height, left:left + width]]


class _Pooling(LayerPass):
    """size: (rows, columns) of the window. padding: "same" or "valid"."""

    def __init__(self, source: LayerPass, size: Strides, strides: Strides, padding: str) -> None:
        super().__init__(source)
        self._window = {"ksize": (1,) + tuple(size) + (1,), "strides": (1,) + tuple(strides) + (1,),
                        "padding": padding.upper()}


class MaxPooling(_Pooling):
    """The largest value in each window."""

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.nn.max_pool(x, **self._window)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        """Search the maxima once; MaxPoolGrad would search them m times, in m copies of the input.

        In TensorFlow 2 that is as fast, and taken. Both take the first of equal maxima. On the CPU,
        also where there is a GPU: that one's adds in any order, and is refused where only
        operations that repeat exactly are allowed.
        """
        if not KNOWN_MAXIMA_SPEED_UP_POOLING:
            return super().backward(gradient, output, *inputs)
        x, = inputs
        m = int(gradient.shape[0])
        _, places = tf.nn.max_pool_with_argmax(x, **self._window)
        with tf.device("/cpu:0"):
            return [tf.raw_ops.MaxPoolGradWithArgmax(  # of `input` it reads only the shape
                input=tf.zeros([m] + x.shape.as_list()[1:]), grad=gradient,
                argmax=tf.tile(places, (m, 1, 1, 1)), **self._window)]


class AveragePooling(_Pooling):
    """The mean of each window, of its places inside the image."""

    @property
    def keeps_size(self) -> bool:
        """Return whether the output is as high and as wide as the input."""
        return self._window["strides"] == (1, 1, 1, 1) and self._window["padding"] == "SAME"

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.nn.avg_pool(x, **self._window)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        x, = inputs
        return [tf.raw_ops.AvgPoolGrad(
            orig_input_shape=[int(gradient.shape[0])] + x.shape.as_list()[1:], grad=gradient,
            **self._window)]


class GlobalAveragePooling(LayerPass):
    """The mean over all places: (n, h, w, c) to (n, c)."""

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.reduce_mean(x, (1, 2))

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        x, = inputs
        _, height, width, _ = x.shape.as_list()
        return [tf.tile(gradient[:, tf.newaxis, tf.newaxis] / (height * width),
                        (1, height, width, 1))]


class Dense(LayerPass):
    """A fully connected layer, (n, in) to (n, out).

    kernel: float32 (in, out). bias: float32 (out,).
    """

    def __init__(self, source: LayerPass, kernel: np.ndarray, bias: np.ndarray) -> None:
        super().__init__(source)
        self._kernel_values, self._bias_values = kernel, bias

    def prepare(self, constant: Callable[[np.ndarray], tf.Tensor]) -> None:
        self._kernel, self._bias = constant(self._kernel_values), constant(self._bias_values)

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        x, = inputs
        return tf.nn.bias_add(tf.matmul(x, self._kernel), self._bias)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        return [tf.matmul(gradient, self._kernel, transpose_b=True)]


class TwoLogits(LayerPass):
    """The logits (0, f) of a classifier of two classes with one output f, (n, 1) to (n, 2).

    Their softmax is (1 - sigmoid(f), sigmoid(f)): what the classifier says.
    """

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        f, = inputs
        return tf.concat([tf.zeros_like(f), f], -1)

    def backward(self, gradient: tf.Tensor, output: tf.Tensor,
                 *inputs: tf.Tensor) -> List[tf.Tensor]:
        return [gradient[:, 1:]]


class ThroughTensorFlow(LayerPass):
    """Any other layer, or a whole network, which has no backward pass but tf.gradients.

    call: function of the inputs that makes the output, in any number of images.
    kind: the name of its Keras class, for messages.
    """

    def __init__(self, call: Callable[..., tf.Tensor], kind: str, *sources: LayerPass) -> None:
        super().__init__(*sources)
        self.kind = kind
        self._call = call

    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        return self._call(*inputs)
