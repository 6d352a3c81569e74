"""TensorFlow and Keras, under the same names whichever versions are installed.

    from utils.classifier.frameworks import K, keras, layers, tf

This is the only module that knows which TensorFlow there is, and the only one that imports it:

- TensorFlow 1.14 or 1.15 with Keras 2.2.4, as requirements.txt has them: the study's own;
- TensorFlow 2 with tf_keras, the Keras 2 that its authors keep for it, as requirements-tf2.txt has
  them: `tf` is then the interface of version 1 (graphs and sessions), `keras` likewise.

Importing it takes seconds: what must not wait for TensorFlow imports it inside a function.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
import warnings
from typing import Any, Iterator

# What TensorFlow and Keras say to everybody at their start, and what asks nothing of anybody: parts
# of lines. 303 is the error of a machine without any driver of NVIDIA.
GREETINGS = (
    "Using TensorFlow backend.",
    "All log messages before absl::InitializeLog() is called are written to STDERR",
    "oneDNN custom operations are on.",
    "Could not find cuda drivers on your machine, GPU will not be used.",
    "Failed call to cuInit: UNKNOWN ERROR (303)",
)


@contextlib.contextmanager
def without_greetings() -> Iterator[None]:
    """Keep GREETINGS from stderr, from wherever in this process they are written.

    A child passes the other lines on, which are the last words of a process that dies in between.
    """
    patterns = [word for greeting in GREETINGS for word in ("-e", greeting)]
    sys.stderr.flush()
    stderr = os.dup(2)
    with subprocess.Popen(["grep", "-v", "-F"] + patterns, stdin=subprocess.PIPE,
                          stdout=stderr) as child:
        assert child.stdin is not None  # as stdin=PIPE says
        os.dup2(child.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


IS_TENSORFLOW_2 = importlib.util.find_spec("tf_keras") is not None

OLDEST_CUDA = 12 if IS_TENSORFLOW_2 else 10  # that these versions are built on for a GPU
# What makes the gradients faster here and not there: tests/README.md has the measurements.
FLIPPED_KERNELS_SPEED_UP_TRAINING = not IS_TENSORFLOW_2  # utils.classifier.convolution_gradients
KNOWN_MAXIMA_SPEED_UP_POOLING = not IS_TENSORFLOW_2  # utils.attack.gradients.layer_passes

# Of the lines of TensorFlow's C++ the warnings and errors are shown, of version 2 the errors: it
# warns of what Keras does each time that it initialises variables. 0 brings them all back.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if IS_TENSORFLOW_2 else "1")
# Lets XLA compile for a CPU, which session_config() rules out: else 1.14 warns that it may not.
os.environ.setdefault("TF_XLA_FLAGS", "--tf_xla_cpu_global_jit")
with without_greetings():
    import tensorflow

    # Keras 2 calls names that TensorFlow announces as deprecated, once for each name; on pinned
    # versions that announcement asks nothing of anybody.
    tensorflow.compat.v1.logging.set_verbosity(tensorflow.compat.v1.logging.ERROR)
    if IS_TENSORFLOW_2:
        import tf_keras
        from tf_keras.api._v1 import keras
        from tf_keras.src.optimizers.optimizer_v1 import SGD  # that of Keras 2.2.4

        tf = tensorflow.compat.v1
        tf.disable_v2_behavior()
        warnings.filterwarnings("ignore", category=UserWarning, module=r"tf_keras\.")
        VERSIONS = {"tensorflow": tensorflow.__version__, "tf_keras": tf_keras.__version__}
    else:
        import keras
        from keras.optimizers import SGD

        tf = tensorflow
        VERSIONS = {"tensorflow": tensorflow.__version__, "keras": keras.__version__}
    from tensorflow.python.client import device_lib

K, activations, layers = keras.backend, keras.activations, keras.layers


def _move_average(self: Any, average: Any, value: Any, momentum: Any, inputs_size: Any) -> Any:
    """Move an average of a batch normalisation as Keras 2.2.4 does: return the operation.

    The first batch replaces it, whatever it was, and the n-th moves it by (1 - m) / (1 - m^n) of
    the way to the batch's value: the average begins at zero, without the bias that zero gives it
    (Kingma and Ba 2015, section 3). That of tf_keras moves by 1 - m, so that a fine-tuning of a few
    hundred batches ends with averages of the loaded weights.
    """
    n = K.update_add(K.variable(0.0), 1.0)
    share = (1 - momentum) / (1 - tf.pow(momentum, n))
    return tf.assign_sub(average, (average - value) * share)


def cross_entropy(labels: Any, probabilities: Any) -> Any:
    """Return the cross-entropy of each image as Keras 2.2.4 does, from its probabilities.

    A probability below 1e-7 counts as 1e-7, so that an image so wrong gives no gradient. tf_keras
    would look behind a softmax and take its logits, for which this is not so: from a copy of the
    probabilities it cannot.
    """
    return K.categorical_crossentropy(labels, tf.identity(probabilities))


if IS_TENSORFLOW_2:
    layers.BatchNormalization._assign_moving_average = _move_average

__all__ = ["K", "SGD", "VERSIONS", "activations", "cross_entropy", "device_lib", "keras", "layers",
           "tf", "without_greetings"]
