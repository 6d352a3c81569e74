"""What a run computes on: a GPU that gives the CPU's numbers, or the CPU.

    python -m utils.classifier.device

checks this machine's GPU, if TensorFlow sees one, and says what the scripts would use.
"""

import functools
import os
import re

import numpy as np

from utils.classifier import architectures
from utils.classifier.session import session_config, start_session
from utils.common.errors import UserError, run_script

# CUDA 10, on which the TensorFlow of requirements.txt is built, ends at compute capability 7.5. On
# newer cards it gave wrong numbers without an error (saliency#25, tfoptflow#11) or hung.
FIRST_UNKNOWN_TO_CUDA_10 = [8, 0]
# Of logits and gradient, as ||GPU - CPU|| / ||CPU||. Rounding of float32 makes about 1e-6.
TOLERANCE = 0.01
MEND = "; use NVIDIA's TensorFlow (Dockerfile.gpu), or go on without the card: --device cpu"


@functools.lru_cache(None)
def choose(device="auto"):
    """Settle what this process computes on, before it computes: print and return the GPU's name.

    None for the CPU: with device "cpu", and with "auto" where TensorFlow sees no GPU. Raises
    UserError when the card computes wrong numbers, or would.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Else cards from compute capability 8.0 on multiply with 10 bits, and a gradient is off by 5 %.
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    card, *capability = first_card()
    if card is None:
        return None
    if capability >= FIRST_UNKNOWN_TO_CUDA_10 and loaded_cuda() < 11:
        raise UserError("{} (compute capability {}.{}): TensorFlow built on CUDA {} may compute "
                        "wrong numbers on it without an error{}".format(
                            card, *capability, loaded_cuda(), MEND))
    print("computing on {}, checked against the CPU: differs by {:.1e}".format(
        card, check(card, logits_and_gradient)), flush=True)
    return card


def first_card():
    """The GPU that TensorFlow takes: (name, major, minor compute capability); name None: none."""
    from utils.classifier.frameworks import device_lib, without_greetings

    with without_greetings():
        devices = device_lib.list_local_devices(session_config())
    for found in devices:
        if found.device_type == "GPU":
            name, major, minor = re.search(r"name: (.*?),.* compute capability: (\d+)\.(\d+)",
                                           found.physical_device_desc).groups()
            return name, int(major), int(minor)
    return None, 0, 0


def loaded_cuda():
    """The main version of the CUDA runtime in this process; 10 where it cannot be told."""
    with open("/proc/self/maps") as file:
        return max(map(int, re.findall(r"/libcudart\.so\.(\d+)", file.read())), default=10)


def check(card, compute):
    """The larger of the relative differences between GPU and CPU, of logits and of a gradient.

    compute: function from a TensorFlow device, or None for its own choice, to the two arrays.
    Raises UserError beyond TOLERANCE, or when the GPU, named `card`, cannot compute at all.
    """
    from utils.classifier.frameworks import tf

    expected = compute("/cpu:0")
    try:
        found = compute(None)
    except tf.errors.OpError as error:
        raise UserError("{}: TensorFlow {} cannot compute on it ({}){}".format(
            card, tf.__version__, error.message.splitlines()[0], MEND))
    difference = np.max([np.linalg.norm(f - e) / np.linalg.norm(e)
                         for f, e in zip(found, expected)])
    if not difference <= TOLERANCE:  # NaN, too
        raise UserError("{}: computes other numbers than the CPU (they differ by {:.1e}, rounding "
                        "by less than {}){}".format(card, difference, TOLERANCE, MEND))
    return difference


def logits_and_gradient(device):
    """A VGG16's logits, (7,), and a gradient, (64, 64, 3), for one image, both random but fixed."""
    from utils.attack.gradients.graph import AttackGraph
    from utils.classifier.frameworks import tf

    start_session(0, inference=True)
    random = np.random.RandomState(0)
    with tf.device(device):
        model = architectures.build_classifier("VGG16", 64, 7)
        shapes = [weights.shape.as_list() for weights in model.weights]
        model.set_weights([random.normal(size=shape, scale=(2 / np.prod(shape[:-1])) ** 0.5)
                           for shape in shapes])
        graph = AttackGraph(model)
        x = random.uniform(-1, 1, (64, 64, 3)).astype(np.float32)
        return graph.loss_gradient_to_leave(x, graph.logits(x[np.newaxis]).argmax())


def main():
    if choose() is None:
        print("no GPU that TensorFlow can use: computing on the CPU")


if __name__ == "__main__":
    run_script(main)
