"""The layers of the classifiers, each with a forward and a backward pass in TensorFlow operations.

forward: the layer's inputs, each (n, h, w, c), to its output. backward: the gradient with respect
to the output, (m, h, w, c), m known, with that output and those inputs for one image, n = 1, to the
gradients with respect to the inputs. The sizes of all images are known when the graph is built.
"""

import numpy as np
import tensorflow as tf


class Layer:
    """sources: the layers whose outputs are its inputs."""

    def __init__(self, *sources):
        self.sources = list(sources)

    def prepare(self, constant):
        """Called once the network is settled. constant: function, float32 array -> its tensor."""


class Convolution(Layer):
    """kernel: float32 (rows, columns, in, out). bias: float32 (out,). strides: (down, right).

    padding: zeros around the image, ((above, below), (left, right)).
    """

    def __init__(self, source, kernel, bias, strides, padding):
        super().__init__(source)
        self._values, self.strides, self._padding = (kernel, bias), strides, padding
        self.is_pointwise = kernel.shape[:2] == (1, 1)
        self.narrows = kernel.shape[3] < kernel.shape[2]

    def prepare(self, constant):
        (kernel, bias), (down, right) = self._values, self.strides
        rows, columns, channels, _ = kernel.shape
        self._kernel, self._bias, self._flipped = constant(kernel), constant(bias), []
        # On the image's 3 channels, a product with 3 columns leaves the vector units idle;
        # Conv2DBackpropInput has rows * columns * 3 of them.
        if channels > 3 and down == right <= min(rows, columns):
            self._flipped = [constant(kernel[i::down, j::right][::-1, ::-1].transpose(0, 1, 3, 2))
                             for i in range(down) for j in range(right)]

    def forward(self, x):
        return tf.nn.bias_add(tf.nn.conv2d(x, self._kernel, (1,) + self.strides + (1,),
                                           _around(*self._padding)), self._bias)

    def backward(self, gradient, output, x):
        """Forward convolutions of the gradient, which are faster than Conv2DBackpropInput.

        At strides (d, d), row d * p + i of the padded image gets its gradient from rows i, i + d,
        ... of the kernel alone, and columns likewise: d x d small convolutions take turns.
        """
        shape = [int(gradient.shape[0])] + x.shape.as_list()[1:]
        if not self._flipped:
            return [tf.nn.conv2d_backprop_input(shape, self._kernel, gradient,
                                                (1,) + self.strides + (1,),
                                                _around(*self._padding))]
        d, _ = self.strides
        before = [zeros for zeros, _ in self._padding]
        after = [-(-(zeros + whole) // d) - int(given) for zeros, whole, given
                 in zip(before, shape[1:3], gradient.shape[1:3])]
        parts = [tf.nn.conv2d(gradient, flipped, (1, 1, 1, 1), _around(
            *[(int(size) - 1 - zeros // d, more) for size, zeros, more
              in zip(flipped.shape[:2], before, after)])) for flipped in self._flipped]
        whole = parts[0] if d == 1 else tf.depth_to_space(tf.concat(parts, -1), d)
        top, left = [zeros % d for zeros in before]
        return [whole[:, top:top + shape[1], left:left + shape[2]]]


def _around(*zeros):
    """zeros: (above, below), (left, right). As padding of TensorFlow's convolutions, which are
    faster for kernels of 1 x 1 when it is "VALID"."""
    return [[0, 0], *map(list, zeros), [0, 0]] if np.any(zeros) else "VALID"


class Subsampling(Layer):
    """Every strides[0]-th row and every strides[1]-th column, from the first on."""

    def __init__(self, source, strides):
        super().__init__(source)
        self.strides = strides

    def forward(self, x):
        return x[:, ::self.strides[0], ::self.strides[1]]

    def backward(self, gradient, output, x):
        (_, height, width, channels), (down, right) = x.shape.as_list(), self.strides
        _, rows, columns, _ = gradient.shape.as_list()
        spread = tf.pad(gradient[:, :, tf.newaxis, :, tf.newaxis],
                        ((0, 0), (0, 0), (0, down - 1), (0, 0), (0, right - 1), (0, 0)))
        return [tf.reshape(spread, (-1, rows * down, columns * right, channels))
                [:, :height, :width]]


class Relu(Layer):
    def forward(self, x):
        return tf.nn.relu(x)

    def backward(self, gradient, output, x):
        return [gradient * tf.sign(output)]  # 0 or 1: one mask for the m gradients


class Addition(Layer):
    def forward(self, *terms):
        return tf.add_n(terms)

    def backward(self, gradient, output, *terms):
        return [gradient] * len(terms)


class Concatenation(Layer):
    """Of channels."""

    def forward(self, *parts):
        return tf.concat(parts, -1)

    def backward(self, gradient, output, *parts):
        return tf.split(gradient, [int(part.shape[-1]) for part in parts], -1)


class ZeroPadding(Layer):
    """padding: ((above, below), (left, right))."""

    def __init__(self, source, padding):
        super().__init__(source)
        self._padding = padding

    def forward(self, x):
        return tf.pad(x, ((0, 0),) + self._padding + ((0, 0),))

    def backward(self, gradient, output, x):
        (top, _), (left, _) = self._padding
        _, height, width, _ = x.shape.as_list()
        return [gradient[:, top:top + height, left:left + width]]


class _Pooling(Layer):
    def __init__(self, source, size, strides, padding):
        super().__init__(source)
        self._window = {"ksize": (1,) + size + (1,), "strides": (1,) + strides + (1,),
                        "padding": padding.upper()}


class MaxPooling(_Pooling):
    def forward(self, x):
        return tf.nn.max_pool(x, **self._window)

    def backward(self, gradient, output, x):
        """MaxPoolGrad would search the maxima m times, in m copies of the input. Both take the
        first of equal maxima."""
        m = int(gradient.shape[0])
        _, places = tf.nn.max_pool_with_argmax(x, **self._window)
        return [tf.raw_ops.MaxPoolGradWithArgmax(  # of `input` it reads only the shape
            input=tf.zeros([m] + x.shape.as_list()[1:]), grad=gradient,
            argmax=tf.tile(places, (m, 1, 1, 1)), **self._window)]


class AveragePooling(_Pooling):
    @property
    def keeps_size(self):
        return self._window["strides"] == (1, 1, 1, 1) and self._window["padding"] == "SAME"

    def forward(self, x):
        return tf.nn.avg_pool(x, **self._window)

    def backward(self, gradient, output, x):
        return [tf.raw_ops.AvgPoolGrad(
            orig_input_shape=[int(gradient.shape[0])] + x.shape.as_list()[1:], grad=gradient,
            **self._window)]


class GlobalAveragePooling(Layer):
    """(n, h, w, c) to (n, c)."""

    def forward(self, x):
        return tf.reduce_mean(x, (1, 2))

    def backward(self, gradient, output, x):
        _, height, width, _ = x.shape.as_list()
        return [tf.tile(gradient[:, tf.newaxis, tf.newaxis] / (height * width),
                        (1, height, width, 1))]


class Dense(Layer):
    """kernel: float32 (in, out). bias: float32 (out,)."""

    def __init__(self, source, kernel, bias):
        super().__init__(source)
        self._values = kernel, bias

    def prepare(self, constant):
        self._kernel, self._bias = map(constant, self._values)

    def forward(self, x):
        return tf.nn.bias_add(tf.matmul(x, self._kernel), self._bias)

    def backward(self, gradient, output, x):
        return [tf.matmul(gradient, self._kernel, transpose_b=True)]
