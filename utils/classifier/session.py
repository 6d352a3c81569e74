"""TensorFlow sessions: imported quietly, seeded, and set up for speed."""

import contextlib
import ctypes
import io
import os
import sys

import numpy as np


def import_quietly():
    """Import TensorFlow and Keras, first of all, without the lines that greet everybody.

    Warnings and errors stay. TF_CPP_MIN_LOG_LEVEL=0 brings TensorFlow's back.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # Lets XLA compile for a CPU, which session_config() rules out: else 1.14 warns that it may not.
    os.environ.setdefault("TF_XLA_FLAGS", "--tf_xla_cpu_global_jit")
    import tensorflow as tf

    # Keras 2.2.4 calls names that TensorFlow 1.14 announces as deprecated, once for each name; on
    # pinned versions that announcement asks nothing of anybody.
    tf.compat.v1.logging.set_verbosity(tf.compat.v1.logging.ERROR)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        import keras  # noqa: F401
    sys.stderr.write(said.getvalue().replace("Using TensorFlow backend.\n", ""))


def session_config():
    """The options of every session, as a TensorFlow ConfigProto.

    Rewriting of the graph is off: it takes seconds for each new set of outputs, and made neither
    training nor attack faster (ResNet50, InceptionV3, 2 cores). XLA is off, too.
    """
    import tensorflow as tf

    config = tf.ConfigProto(gpu_options=tf.GPUOptions(allow_growth=True))
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
    return config


def start_session(seed, inference):
    """Begin an empty TensorFlow graph in which every random operation is seeded.

    inference: fix the graph to the test phase (batch normalisation uses its moving averages).
    """
    import_quietly()
    import keras.backend as K
    import tensorflow as tf

    keep_freed_memory()
    K.clear_session()
    tf.set_random_seed(seed)
    np.random.seed(seed)  # Keras draws the seeds of its initialisers from NumPy
    K.set_session(tf.Session(config=session_config()))
    if inference:
        K.set_learning_phase(0)


def keep_freed_memory():
    """Make glibc keep the large blocks that TensorFlow frees after each operation.

    Got again page by page, they cost up to half the time of an operation bound by memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((-4, 0), (-1, 2 ** 31 - 1), (-8, 1)):
            mallopt(parameter, value)  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX of malloc.h
