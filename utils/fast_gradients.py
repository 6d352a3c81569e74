"""The logits of a Keras classifier, and several gradients of them in one backward pass, in
TensorFlow operations that cost little more than the convolutions themselves.

tf.gradients of K - 1 scalars runs K - 1 backward passes of one image. Here the layers are walked
once, and the backward pass is written by hand. It is exact; what differs is only the work:

- Batch normalisation, an affine map at inference, is folded into the convolution before it.
- The K - 1 cotangents go back as one batch, through the activations of one image.
- The gradient of a convolution of stride 1 is a convolution with the flipped kernel, and
  TensorFlow's forward convolution is faster than its Conv2DBackpropInput (one core, 150 x 150 x 64,
  3 x 3, batch 6: 73 against 37 GFLOP/s).
"""

import keras.backend as K
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.python.ops import gen_array_ops, gen_nn_ops


class UnsupportedLayer(ValueError):
    """A layer that this module has no backward pass for; tf.gradients may have one."""


class FastGradients:
    """model: a Keras classifier in the session of Keras, started for inference, with a layer
    "logits". Its weights are copied: what changes them later changes nothing here.

    input: the model's input, float32 (n, h, w, 3). logits: float32 (n, K).
    Raises UnsupportedLayer.
    """

    def __init__(self, model):
        self.input = model.input
        variables = _Variables()
        self._steps, self._inputs = _steps_of(model, variables)
        self._values = [self.input]
        for step, inputs in zip(self._steps[1:], self._inputs[1:]):
            self._values.append(step.forward(*[self._values[i] for i in inputs]))
        self.logits = self._values[-1]
        variables.initialise()

    def vector_jacobian(self, cotangents):
        """The gradient of each sum_k cotangents[j, k] f_k with respect to one image.

        cotangents: float32 (m, K), m known when the graph is built. Returns float32 (m, h, w, 3).
        The graph must be run with one image.
        """
        pending = [[] for _ in self._steps]  # the terms of the gradient of each step's output
        pending[-1].append(cotangents)
        for i in reversed(range(1, len(self._steps))):
            gradients = self._steps[i].backward(_sum(pending.pop()))
            for j, gradient in zip(self._inputs[i], gradients):
                gradient.set_shape(cotangents.shape[:1].concatenate(self._values[j].shape[1:]))
                pending[j].append(gradient)
        return _sum(pending[0])

    def differences(self, label):
        """The gradients of f_k - f_label for the K - 1 classes k != label, in order.

        label: int32 (). Returns float32 (K - 1, h, w, 3), or (0, h, w, 3) without a backward pass
        when argmax f is not `label`. The graph must be run with one image.
        """
        num_classes = int(self.logits.shape[1])

        def gradients():
            unit = tf.eye(num_classes)
            others = tf.concat([unit[:label], unit[label + 1:]], 0)
            others.set_shape((num_classes - 1, num_classes))
            return self.vector_jacobian(others - unit[label])

        return tf.cond(tf.equal(tf.argmax(self.logits[0], output_type=tf.int32), label),
                       gradients, lambda: tf.zeros([0] + self.input.shape.as_list()[1:]))


def _sum(tensors):
    return tensors[0] if len(tensors) == 1 else tf.add_n(tensors)


class _Variables:
    """Constants of the graph, kept outside its GraphDef, whose size is limited to 2 GB.

    They are initialised in one run, because each run of a changed graph prepares all of it again.
    """

    def __init__(self):
        self._initialisers, self._values = [], {}

    def add(self, value):
        placeholder = tf.placeholder(tf.float32, value.shape)
        variable = tf.Variable(placeholder, trainable=False, collections=[])
        self._initialisers.append(variable.initializer)
        self._values[placeholder] = value
        return variable.value()

    def initialise(self):
        K.get_session().run(self._initialisers, self._values)


# The steps. forward: the step's inputs, each (n, h, w, c), to its output. backward: the gradient
# with respect to the output, (m, h, w, c), to those with respect to the inputs, for n = 1.

class _Convolution:
    """kernel: (rows, columns, in, out). bias: (out,). strides: (down, right). padding: as Keras.
    in_shape: (h, w, in)."""

    def __init__(self, kernel, bias, strides, padding, in_shape, variables):
        self._in_shape, self._padding = in_shape, padding.upper()
        self._strides = (1,) + tuple(strides) + (1,)
        self._kernel, self._bias = variables.add(kernel), variables.add(bias)
        self._flipped = None
        if _flips(kernel.shape, strides, padding):
            self._flipped = variables.add(kernel[::-1, ::-1].transpose(0, 1, 3, 2))

    def forward(self, x):
        return tf.nn.bias_add(
            tf.nn.conv2d(x, self._kernel, self._strides, self._padding), self._bias)

    def backward(self, gradient):
        if self._flipped is None:
            return [tf.nn.conv2d_backprop_input(
                (int(gradient.shape[0]),) + self._in_shape, self._kernel, gradient, self._strides,
                self._padding)]
        if self._padding == "VALID":
            gradient = _pad(gradient, *[2 * (int(k) - 1,) for k in self._kernel.shape[:2]])
        return [tf.nn.conv2d(gradient, self._flipped, self._strides, self._padding)]


def _flips(kernel_shape, strides, padding):
    """Whether the gradient is best computed as a convolution with the flipped kernel.

    An even kernel pads "same" unevenly, and its gradient the other way round. On the image's 3
    channels, a product with 3 columns leaves the vector units idle; Conv2DBackpropInput multiplies
    by rows * columns * 3 columns.
    """
    rows, columns, channels, _ = kernel_shape
    even = padding == "same" and not (rows % 2 and columns % 2)
    return tuple(strides) == (1, 1) and not even and channels > 3


class _Subsampling:
    """Every strides[0]-th row and every strides[1]-th column, from the first on."""

    def __init__(self, strides):
        self.strides = strides

    def forward(self, x):
        self._in_shape = x.shape.as_list()[1:]
        return x[:, ::self.strides[0], ::self.strides[1]]

    def backward(self, gradient):
        """Zeros between rows and columns, by padding of 2-D views: StridedSliceGrad is 2.7 times as
        slow (6 x 38 x 38 x 256, one core: 30 against 11 ms)."""
        height, width, channels = self._in_shape
        _, rows, columns, _ = gradient.shape.as_list()
        down, right = self.strides
        pixels = _pad_after(tf.reshape(gradient, (-1, channels)), right)
        lines = _pad_after(tf.reshape(pixels, (-1, columns * right * channels)), down)
        spread = tf.reshape(lines, (-1, rows * down, columns * right, channels))
        return [spread[:, :height, :width]]


class _Relu:
    def forward(self, x):
        self._output = tf.nn.relu(x)
        return self._output

    def backward(self, gradient):
        return [gradient * tf.cast(self._output > 0, tf.float32)]  # one mask for the m gradients


class _Pooling:
    """What the poolings share. layer: a Keras pooling layer."""

    def __init__(self, layer):
        self._window = ((1,) + layer.pool_size + (1,), (1,) + layer.strides + (1,),
                        layer.padding.upper())


class _MaxPooling(_Pooling):
    def forward(self, x):
        self._input = x
        return tf.nn.max_pool(x, *self._window)

    def backward(self, gradient):
        """MaxPoolGrad would search the maxima m times, in m copies of the input (152 x 152 x 64 in
        windows of 3 x 3, m = 6, one core: 88 against 26 ms). Both take the first of equal maxima.
        """
        number = int(gradient.shape[0])
        _, places = gen_nn_ops.max_pool_with_argmax(self._input, *self._window)
        like = gen_array_ops.empty([number] + self._input.shape.as_list()[1:], tf.float32)
        return [gen_nn_ops.max_pool_grad_with_argmax(  # of `like` it reads only the shape
            like, gradient, tf.tile(places, (number, 1, 1, 1)), *self._window)]


class _AveragePooling(_Pooling):
    def forward(self, x):
        self._in_shape = x.shape.as_list()[1:]
        return tf.nn.avg_pool(x, *self._window)

    def backward(self, gradient):
        return [gen_nn_ops.avg_pool_grad([int(gradient.shape[0])] + self._in_shape, gradient,
                                         *self._window)]


class _GlobalAveragePooling:
    """(n, h, w, c) to (n, c)."""

    def forward(self, x):
        _, self._height, self._width, _ = x.shape.as_list()
        return tf.reduce_mean(x, (1, 2))

    def backward(self, gradient):
        share = gradient / (self._height * self._width)
        return [tf.tile(share[:, tf.newaxis, tf.newaxis], (1, self._height, self._width, 1))]


class _ZeroPadding:
    """rows, columns: (before, after)."""

    def __init__(self, rows, columns):
        self._rows, self._columns = rows, columns

    def forward(self, x):
        return _pad(x, self._rows, self._columns)

    def backward(self, gradient):
        _, height, width, _ = gradient.shape.as_list()
        return [gradient[:, self._rows[0]:height - self._rows[1],
                         self._columns[0]:width - self._columns[1]]]


def _pad(x, rows, columns):
    return tf.pad(x, ((0, 0), rows, columns, (0, 0)))


def _pad_after(x, times):
    """Zeros after each row of x, (rows, columns), to `times` its length."""
    return tf.pad(x, ((0, 0), (0, (times - 1) * int(x.shape[1]))))


class _Concatenation:
    """Of channels."""

    def forward(self, *parts):
        self._channels = [int(part.shape[-1]) for part in parts]
        return tf.concat(parts, -1)

    def backward(self, gradient):
        return tf.split(gradient, self._channels, -1)


class _Addition:
    def forward(self, *terms):
        self._terms = len(terms)
        return tf.add_n(terms)

    def backward(self, gradient):
        return self._terms * [gradient]


class _Dense:
    """kernel: (in, out). bias: (out,)."""

    def __init__(self, kernel, bias, variables):
        self._kernel, self._bias = variables.add(kernel), variables.add(bias)

    def forward(self, x):
        return tf.nn.bias_add(tf.matmul(x, self._kernel), self._bias)

    def backward(self, gradient):
        return [tf.matmul(gradient, self._kernel, transpose_b=True)]


# From Keras layers to steps.

def _steps_of(model, variables):
    """(steps, inputs): the steps in order, and for each the places of its inputs among them.

    The first is the model's input, and no step at all; the last has the logits as output.
    """
    steps, inputs, place = [None], [()], {}
    weights = K.get_session().run({layer.name: layer.weights for layer in model.layers
                                   if layer.weights})
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            place[layer.name] = 0
            continue
        sources = [place[parent.name] for parent in _parents(layer)]
        for step in _steps_of_layer(layer, weights, variables):
            steps.append(step)
            inputs.append(sources)
            sources = [len(steps) - 1]
        place[layer.name], = sources
        if layer.name == "logits":
            return steps, inputs
    raise UnsupportedLayer("the model has no layer \"logits\"")


def _steps_of_layer(layer, weights, variables):
    """The steps, one after the other, that do what the layer does. Raises UnsupportedLayer."""
    if type(layer) not in _STEPS:  # exactly: a subclass may do something else
        raise _unsupported(layer, "no backward pass is written for this type")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise _unsupported(layer, "its channels are not last")
    return _STEPS[type(layer)](layer, weights, variables)


def _unsupported(layer, why):
    return UnsupportedLayer("layer \"{}\" ({}): {}".format(layer.name, type(layer).__name__, why))


def _parents(layer):
    if len(layer._inbound_nodes) != 1:
        raise _unsupported(layer, "it is used more than once")
    return layer._inbound_nodes[0].inbound_layers


def _steps_of_convolution(layer, weights, variables):
    if layer.dilation_rate != (1, 1):
        raise _unsupported(layer, "it is dilated")
    kernel, bias = _kernel_and_bias(layer, weights)
    normalisation = _normalisation_after(layer)
    if normalisation is not None:
        kernel, bias = _folded(kernel, bias, normalisation, weights)
    strides, before = layer.strides, []
    if layer.kernel_size == (1, 1) and strides != (1, 1):
        # Conv2DBackpropInput needs 215 ms for ResNet50's last strided layer, this way 30.
        strides, before = (1, 1), [_Subsampling(strides)]
    return before + [_Convolution(kernel, bias, strides, layer.padding, layer.input_shape[1:],
                                  variables)] + _steps_of_activation(layer)


def _kernel_and_bias(layer, weights):
    kernel = weights[layer.name][0]
    return kernel, weights[layer.name][1] if layer.use_bias else np.zeros(kernel.shape[-1:],
                                                                          np.float32)


def _normalisation_after(layer):
    """The batch normalisation that alone uses the output of a linear convolution, or None."""
    users = [node.outbound_layer for node in layer._outbound_nodes]
    alone = (len(users) == 1 and isinstance(users[0], layers.BatchNormalization)
             and users[0].axis in (-1, 3) and not _steps_of_activation(layer))
    return users[0] if alone else None


def _folded(kernel, bias, normalisation, weights):
    """Kernel and bias of the convolution followed by its normalisation."""
    rest = [w.astype(np.float64) for w in weights[normalisation.name]]
    gamma = rest.pop(0) if normalisation.scale else 1
    beta = rest.pop(0) if normalisation.center else 0
    mean, variance = rest
    factor = gamma / np.sqrt(variance + normalisation.epsilon)
    return (kernel * factor).astype(np.float32), ((bias - mean) * factor + beta).astype(np.float32)


def _steps_of_normalisation(layer, weights, variables):
    parent, = _parents(layer)
    if type(parent) is not layers.Conv2D or _normalisation_after(parent) is not layer:
        raise _unsupported(layer, "it is not the only user of a linear convolution")
    return []  # folded into that convolution


def _steps_of_dense(layer, weights, variables):
    kernel, bias = _kernel_and_bias(layer, weights)
    return [_Dense(kernel, bias, variables)] + _steps_of_activation(layer)


def _steps_of_activation(layer, weights=None, variables=None):
    name = layer.activation.__name__
    if name not in ("linear", "relu"):
        raise _unsupported(layer, "its activation is {}".format(name))
    return [_Relu()] if name == "relu" else []


def _steps_of_concatenation(layer, weights, variables):
    if layer.axis not in (-1, 3):
        raise _unsupported(layer, "it does not concatenate channels")
    return [_Concatenation()]


_STEPS = {
    layers.Conv2D: _steps_of_convolution,
    layers.BatchNormalization: _steps_of_normalisation,
    layers.Activation: _steps_of_activation,
    layers.Dense: _steps_of_dense,
    layers.Concatenate: _steps_of_concatenation,
    layers.Add: lambda layer, weights, variables: [_Addition()],
    layers.MaxPooling2D: lambda layer, weights, variables: [_MaxPooling(layer)],
    layers.AveragePooling2D: lambda layer, weights, variables: [_AveragePooling(layer)],
    layers.GlobalAveragePooling2D: lambda layer, weights, variables: [_GlobalAveragePooling()],
    layers.ZeroPadding2D: lambda layer, weights, variables: [_ZeroPadding(*layer.padding)],
}
