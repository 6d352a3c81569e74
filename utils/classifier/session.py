"""TensorFlow sessions, seeded and set up for speed."""

import ctypes
from typing import Any, Sequence, Tuple

import numpy as np

from utils.common.errors import UserError
from utils.common.precision import BFLOAT16, FLOAT32


def session_config(precision: str = FLOAT32) -> Any:
    """Return the options of every session, as a TensorFlow ConfigProto.

    precision: with bfloat16, TensorFlow 2 rewrites the graph so that a CPU multiplies in 16 bits
    and adds in 32; variables, inputs and outputs stay float32. Rewriting is off otherwise: it takes
    seconds for each new set of outputs, and made neither training nor attack faster (ResNet50,
    InceptionV3, 2 cores). XLA is off, too. Raises UserError for bfloat16 and TensorFlow 1.
    """
    from utils.classifier.frameworks import IS_TENSORFLOW_2, VERSIONS, tf

    if precision == BFLOAT16 and not IS_TENSORFLOW_2:
        raise UserError(f"--precision {BFLOAT16}: TensorFlow {VERSIONS['tensorflow']} computes in "
                        f"{FLOAT32} alone; today's is taken by ENVIRONMENT=tf2 before "
                        "sh utils/environment.sh")

    config = tf.ConfigProto(gpu_options=tf.GPUOptions(allow_growth=True))
    rewriting = config.graph_options.rewrite_options
    if precision == BFLOAT16:
        rewriting.auto_mixed_precision_onednn_bfloat16 = rewriting.ON
    else:
        rewriting.disable_meta_optimizer = True
    config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.OFF
    return config


def start_session(seed: int, inference: bool, precision: str = FLOAT32) -> None:
    """Begin an empty TensorFlow graph in which every random operation is seeded.

    inference: fix the graph to the test phase (batch normalisation uses its moving averages).
    precision: as in session_config. Raises UserError.
    """
    from utils.classifier.frameworks import K, tf

    keep_freed_memory()
    K.clear_session()
    tf.set_random_seed(seed)
    np.random.seed(seed)  # Keras draws the seeds of its initialisers from NumPy
    K.set_session(tf.Session(config=session_config(precision)))
    if inference:
        K.set_learning_phase(0)


def set_first_values(values: Sequence[Tuple[Any, np.ndarray]]) -> None:
    """Give Keras variables that were just made these values in place of their initial ones.

    values: each variable once, with an array of its shape. K.batch_set_value draws the initial ones
    before, and adds three operations for each variable to the graph: a deep network takes nearly
    twice as long to build.
    """
    from utils.classifier.frameworks import K

    for variable, _ in values:
        variable._keras_initialized = True  # which K.get_session() asks of every variable
    K.get_session().run([variable.initializer for variable, _ in values],
                        {variable.initializer.inputs[1]: value for variable, value in values})


def keep_freed_memory() -> None:
    """Make glibc keep the large blocks that TensorFlow frees after each operation.

    Got again page by page, they cost up to half the time of an operation bound by memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((-4, 0), (-1, 2 ** 31 - 1), (-8, 1)):
            mallopt(parameter, value)  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_ARENA_MAX of malloc.h
