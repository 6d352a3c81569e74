"""The logits of a Keras classifier, and several gradients of them in one backward pass, in
TensorFlow operations that cost little more than the convolutions themselves.

tf.gradients of K - 1 scalars runs K - 1 backward passes of one image. Here the layers are walked
once, and the backward pass is written by hand. It is exact; what differs is only the work:

- Batch normalisation, an affine map at inference, is folded into the convolution before it.
- The K - 1 cotangents go back as one batch, through the activations of one image.
- The gradient of a convolution is a convolution with the flipped kernel (at stride d, d x d of them
  that take turns), and TensorFlow's forward convolution is faster than its Conv2DBackpropInput (one
  core, 150 x 150 x 64, 3 x 3, batch 6: 73 against 37 GFLOP/s).
- Average pooling and a 1 x 1 convolution change places where that leaves fewer channels to pool.
"""

import collections

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
        self._steps, self._inputs = _thinned(*_pooled_late(*_steps_of(model, variables)))
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
        self._values.clear()  # TensorFlow has its own copy


# The steps. forward: the step's inputs, each (n, h, w, c), to its output. backward: the gradient
# with respect to the output, (m, h, w, c), to those with respect to the inputs, for n = 1.

class _Convolution:
    """kernel: (rows, columns, in, out). bias: (out,). strides: (down, right). padding: as Keras."""

    def __init__(self, kernel, bias, strides, padding, variables):
        self._values, self._variables = (kernel, bias), variables
        self.strides, self._padding = strides, padding.upper()
        self.is_pointwise = kernel.shape[:2] == (1, 1)
        self.narrows = kernel.shape[3] < kernel.shape[2]
        self._is_even = not (kernel.shape[0] % 2 and kernel.shape[1] % 2)

    @property
    def can_be_thinned(self):
        """An even kernel pads "same" unevenly; a stride makes it depend on the input's size."""
        return self.is_pointwise or self.strides == (1, 1) and not self._is_even

    def thinned(self, strides):
        """The steps that give every strides[0]-th row and strides[1]-th column of the output; a
        pointwise convolution is itself, on the input at its own strides and those."""
        kernel, bias = self._values
        if self.is_pointwise:
            return [_Convolution(kernel, bias, (1, 1), "valid", self._variables)]
        if strides == (1, 1):
            return [self]
        around = [2 * (size // 2,) if self._padding == "SAME" else (0, 0)
                  for size in kernel.shape[:2]]
        return [_ZeroPadding(*around), _Convolution(kernel, bias, strides, "valid",
                                                    self._variables)]

    def forward(self, x):
        kernel, bias = self._values
        self._in_shape = x.shape.as_list()[1:]
        self._kernel = self._variables.add(kernel)
        if self._uses_flipped_kernels():
            down, right = self.strides
            self._flipped = [self._variables.add(part[::-1, ::-1].transpose(0, 1, 3, 2))
                             for part in (kernel[i::down, j::right]
                                          for i in range(down) for j in range(right))]
        return tf.nn.bias_add(tf.nn.conv2d(x, self._kernel, (1,) + self.strides + (1,),
                                           self._padding), self._variables.add(bias))

    def backward(self, gradient):
        if not self._uses_flipped_kernels():
            return [tf.nn.conv2d_backprop_input(
                [int(gradient.shape[0])] + self._in_shape, self._kernel, gradient,
                (1,) + self.strides + (1,), self._padding)]
        if self._padding == "SAME":
            return [tf.nn.conv2d(gradient, self._flipped[0], (1, 1, 1, 1), "SAME")]
        return [self._interleaved([self._full_convolution(gradient, flipped)
                                   for flipped in self._flipped])]

    def _uses_flipped_kernels(self):
        """The gradient of an uneven padding is padded the other way round. On the image's 3
        channels, a product with 3 columns leaves the vector units idle; Conv2DBackpropInput has
        rows * columns * 3 of them (6 x 150 x 150 x 64, 3 x 3, one core: 14 against 40 ms).
        """
        down, right = self.strides
        rows, columns = self._values[0].shape[:2]
        return (self._in_shape[-1] > 3 and down == right <= min(rows, columns)
                and (self._padding == "VALID" or down == 1 and not self._is_even))

    def _full_convolution(self, gradient, flipped):
        """As large as that with the largest part of the kernel."""
        padding = [(int(part) - 1, (int(whole) - 1) // stride) for part, whole, stride
                   in zip(flipped.shape[:2], self._kernel.shape[:2], self.strides)]
        return tf.nn.conv2d(_pad(gradient, *padding), flipped, (1, 1, 1, 1), "VALID")

    def _interleaved(self, parts):
        """parts[d * i + j]: every d-th row and column of the gradient, from row i, column j on."""
        height, width, _ = self._in_shape
        if len(parts) == 1:
            return parts[0]
        whole = tf.depth_to_space(tf.concat(parts, -1), self.strides[0])
        _, rows, columns, _ = whole.shape.as_list()  # those that no window reaches may be missing
        return _pad(whole, (0, max(0, height - rows)),
                    (0, max(0, width - columns)))[:, :height, :width]


class _Subsampling:
    """Every strides[0]-th row and every strides[1]-th column, from the first on."""

    def __init__(self, strides):
        self._strides = strides

    def forward(self, x):
        self._in_shape = x.shape.as_list()[1:]
        return x[:, ::self._strides[0], ::self._strides[1]]

    def backward(self, gradient):
        """Zeros between rows and columns, by padding of 2-D views: StridedSliceGrad is 2.7 times as
        slow (6 x 38 x 38 x 256, one core: 30 against 11 ms)."""
        height, width, channels = self._in_shape
        _, rows, columns, _ = gradient.shape.as_list()
        down, right = self._strides
        pixels = _pad_after(tf.reshape(gradient, (-1, channels)), right)
        lines = _pad_after(tf.reshape(pixels, (-1, columns * right * channels)), down)
        spread = tf.reshape(lines, (-1, rows * down, columns * right, channels))
        return [spread[:, :height, :width]]


class _Relu:
    can_be_thinned = True

    def forward(self, x):
        self._output = tf.nn.relu(x)
        return self._output

    def backward(self, gradient):
        return [gradient * tf.sign(self._output)]  # 0 or 1: one mask for the m gradients


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
    @property
    def keeps_size(self):
        return self._window[1:] == ((1, 1, 1, 1), "SAME")

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
    if rows == columns == (0, 0):
        return x  # tf.pad would copy it
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
    can_be_thinned = True

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


# The same network with less work.

def _pooled_late(steps, inputs):
    """The same network with each average pooling behind the 1 x 1 convolution that alone uses it.

    The one averages over places, the other mixes channels, so they commute; a mean of the bias is
    the bias. InceptionV3 pools 192 channels so, not up to 2,048. Arguments as of _thinned.
    """
    users = collections.defaultdict(list)
    for i, sources in enumerate(inputs):
        for j in sources:
            users[j].append(i)
    late = list(steps)
    for i, step in enumerate(steps):
        if isinstance(step, _AveragePooling) and step.keeps_size and len(users[i]) == 1:
            user = users[i][0]
            then = steps[user]
            if (isinstance(then, _Convolution) and then.is_pointwise and then.strides == (1, 1)
                    and then.narrows):
                late[i], late[user] = then, step
    return late, inputs


def _thinned(steps, inputs):
    """The same network without the rows and columns that strided 1 x 1 convolutions skip.

    Such a convolution at the start of ResNet50's stages looks at a quarter of the previous block's
    output; so the 3 x 3 and the second 1 x 1 convolution of that block need give only a quarter, a
    tenth of the network's work. steps, inputs: as of _steps_of, before and after.
    """
    strides = _strides_looked_at(steps, inputs)
    thin_steps, thin_inputs = [None], [()]
    place = {(0, (1, 1)): 0}  # (step, the strides it is given at): its place in thin_steps

    def add(step, sources):
        thin_steps.append(step)
        thin_inputs.append(sources)
        return len(thin_steps) - 1

    for i in range(1, len(steps)):
        looked_at = _strides_of_inputs(steps[i], strides[i])
        for j in inputs[i]:
            if (j, looked_at) not in place:
                place[j, looked_at] = add(_Subsampling(looked_at), [place[j, (1, 1)]])
        sources = [place[j, looked_at] for j in inputs[i]]
        is_convolution = isinstance(steps[i], _Convolution)
        for step in steps[i].thinned(strides[i]) if is_convolution else [steps[i]]:
            sources = [add(step, sources)]
        place[i, strides[i]], = sources
    return thin_steps, thin_inputs


def _strides_looked_at(steps, inputs):
    """For each step, the strides at which all that use its output look at it; (1, 1) when they
    differ, or when the step can only give all of its output."""
    strides, asked = [(1, 1)] * len(steps), [set() for _ in steps]
    for i in reversed(range(1, len(steps))):
        can_be_thinned = getattr(steps[i], "can_be_thinned", False)
        if can_be_thinned and len(asked[i]) == 1:
            strides[i], = asked[i]
        for j in inputs[i]:
            asked[j].add(_strides_of_inputs(steps[i], strides[i]))
    return strides


def _strides_of_inputs(step, strides):
    """The strides at which a step looks at its inputs, given those at which its output is."""
    if isinstance(step, _Convolution):
        return (strides[0] * step.strides[0], strides[1] * step.strides[1]) \
            if step.is_pointwise else (1, 1)
    return strides


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
    return [_Convolution(kernel, bias, layer.strides, layer.padding,
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
