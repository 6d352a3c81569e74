"""Gradients of convolutions by forward convolutions with flipped kernels.

The gradient of an image is the convolution of the output's gradient with the kernel, turned by 180
degrees, its channels in and out exchanged. Conv2DBackpropInput of TensorFlow 1.14 packs the kernel
anew for each image of a batch where that is large and the image small: with ResNet50 at 64 pixels
in two thirds of the time of a training step, which takes 3.3 times as long as with these gradients;
with InceptionV3 at 128 pixels 1.3 times. TensorFlow 2 does not, and its own gradients are faster in
a training; but in an attack, which asks for those of the image alone, these are.
"""

import contextlib
import functools
from typing import Any, ContextManager, Iterator, List, Tuple, Union

import numpy as np

from utils.classifier.frameworks import FLIPPED_KERNELS_SPEED_UP_TRAINING, tf

Zeros = Tuple[int, int]  # around an image: above and below it, or left and right of it
TensorFlowPadding = Union[str, List[List[int]]]


def as_padding(vertical: Zeros, horizontal: Zeros) -> TensorFlowPadding:
    """Return zeros around images as the padding of TensorFlow's convolutions.

    Those are faster for kernels of 1 x 1 when it is "VALID".
    """
    if not np.any((vertical, horizontal)):
        return "VALID"
    return [[0, 0], list(vertical), list(horizontal), [0, 0]]


def flipped(kernel: np.ndarray) -> np.ndarray:
    """Turn a kernel, (rows, columns, in, out), by 180 degrees: (rows, columns, out, in)."""
    return kernel[::-1, ::-1].transpose(0, 1, 3, 2)


def convolve_flipped(gradient: tf.Tensor, flipped_kernel: tf.Tensor, vertical: Zeros,
                     horizontal: Zeros) -> tf.Tensor:
    """Return the gradient of the images of a convolution at strides (1, 1).

    gradient: of its outputs, (m, height, width, out). flipped_kernel: of flipped(). vertical,
    horizontal: the zeros around the gradient, which are size - 1 less those around the images.
    """
    return tf.nn.conv2d(gradient, flipped_kernel, (1, 1, 1, 1), as_padding(vertical, horizontal))


@contextlib.contextmanager
def flipped_kernel_gradients() -> Iterator[None]:
    """Let the convolutions of the default graph that are made within have these gradients."""
    with tf.get_default_graph().gradient_override_map({"Conv2D": _registered()}):
        yield


def gradients_for_training() -> ContextManager[None]:
    """Let the convolutions that are made within have the gradients that train the fastest."""
    if FLIPPED_KERNELS_SPEED_UP_TRAINING:
        return flipped_kernel_gradients()
    return contextlib.nullcontext()


@functools.lru_cache()
def _registered() -> str:
    """Make them known to TensorFlow, which takes a name only once: the name."""
    name = "QuickConvolution"
    tf.RegisterGradient(name)(_gradients)
    return name


def _gradients(op: Any, gradient: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """The gradients with respect to the images and the kernel of a convolution."""
    x, kernel = op.inputs
    rows, columns, channels_in, _ = kernel.shape.as_list()
    strides, padding = op.get_attr("strides"), op.get_attr("padding").decode()
    dilations = op.get_attr("dilations")
    if padding == "EXPLICIT":
        padding = np.reshape(op.get_attr("explicit_paddings"), (4, 2)).tolist()
    # On an image's 3 channels a product with 3 columns leaves the vector units idle.
    if strides == dilations == [1, 1, 1, 1] and channels_in > 3:
        vertical, horizontal = _zeros(padding, rows, columns)
        to_x = convolve_flipped(
            gradient, _flipped_tensor(kernel),
            vertical=(rows - 1 - vertical[0], rows - 1 - vertical[1]),
            horizontal=(columns - 1 - horizontal[0], columns - 1 - horizontal[1]))
    elif rows == columns == 1 and strides != [1, 1, 1, 1]:  # of the pixels that it looks at
        with flipped_kernel_gradients():
            y = tf.nn.conv2d(x[:, ::strides[1], ::strides[2]], kernel, (1, 1, 1, 1), "VALID")
        return tf.gradients(y, (x, kernel), gradient)
    else:
        to_x = tf.nn.conv2d_backprop_input(tf.shape(x), kernel, gradient, strides, padding,
                                           dilations=dilations)
    return to_x, tf.nn.conv2d_backprop_filter(x, kernel.shape, gradient, strides, padding,
                                              dilations=dilations)


def _flipped_tensor(kernel: tf.Tensor) -> tf.Tensor:
    """flipped() of a tensor: whole matrices at a time, which is faster than tf.reverse."""
    rows, columns, channels_in, channels_out = kernel.shape.as_list()
    if rows == columns == 1:
        return tf.transpose(kernel, (0, 1, 3, 2))
    matrices = tf.gather(tf.reshape(kernel, [rows * columns, channels_in, channels_out]),
                         np.arange(rows * columns)[::-1])
    return tf.reshape(tf.transpose(matrices, (0, 2, 1)),
                      [rows, columns, channels_out, channels_in])


def _zeros(padding: TensorFlowPadding, rows: int, columns: int) -> Tuple[Zeros, Zeros]:
    """The zeros around the images of a convolution at strides (1, 1)."""
    if isinstance(padding, str):
        if padding == "VALID":
            return (0, 0), (0, 0)
        return ((rows - 1) // 2, rows // 2), ((columns - 1) // 2, columns // 2)  # SAME
    _, (above, below), (left, right), _ = padding
    return (above, below), (left, right)
