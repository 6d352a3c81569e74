"""What a run computes on: a GPU that gives the CPU's numbers, or the CPU.

    python -m utils.classifier.device

checks this machine's GPU, if TensorFlow sees one, and says what the scripts would use.
"""

import functools
import os
import re
from typing import Callable, List, NamedTuple, Optional

import numpy as np

from utils.classifier import architectures
from utils.classifier.session import session_config, start_session
from utils.common.errors import UserError, run_script

# CUDA 10, on which the TensorFlow of requirements.txt is built, ends at compute capability 7.5. On
# newer cards it gave wrong numbers without an error (saliency#25, tfoptflow#11) or hung.
FIRST_UNKNOWN_TO_CUDA_10 = (8, 0)
# Of logits and gradient, as ||GPU - CPU|| / ||CPU||. Rounding of float32 makes about 1e-6.
LARGEST_DIFFERENCE = 0.01
MEND = ("; use today's TensorFlow (ENVIRONMENT=tf2-gpu before sh utils/environment.sh or make), or "
        "NVIDIA's (Dockerfile.gpu), or go on without the card: --device cpu")

# A function from a TensorFlow device, or None for TensorFlow's own choice, to logits and gradient.
Compute = Callable[[Optional[str]], List[np.ndarray]]


class Card(NamedTuple):
    """A GPU: its name and its compute capability."""

    name: str
    major: int
    minor: int


@functools.lru_cache(None)
def choose(device: str = "auto") -> Optional[str]:
    """Settle what this process computes on, before it computes: print and return the GPU's name.

    None for the CPU: with device "cpu", and with "auto" where TensorFlow sees no GPU. Raises
    UserError with "gpu" where it sees none, and when the card computes wrong numbers, or would.
    """
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    # Else cards from compute capability 8.0 on multiply with 10 bits, and a gradient is off by 5 %.
    os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    # Else two runs of some operations on a GPU differ, those that add in the order of their threads
    os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    os.environ.setdefault("TF_CUDNN_DETERMINISTIC", "1")
    card = first_card()
    if card is None:
        if device == "gpu":
            raise UserError("--device gpu: TensorFlow sees no GPU; ENVIRONMENT=tf2-gpu before "
                            "sh utils/environment.sh takes the TensorFlow that has the libraries "
                            "for one, and nvidia-smi says whether the driver works")
        return None
    if (card.major, card.minor) >= FIRST_UNKNOWN_TO_CUDA_10 and loaded_cuda() < 11:
        raise UserError(f"{card.name} (compute capability {card.major}.{card.minor}): TensorFlow "
                        f"built on CUDA {loaded_cuda()} may compute wrong numbers on it without an "
                        f"error{MEND}")
    difference = check(card.name, logits_and_gradient)
    print(f"computing on {card.name}, checked against the CPU: differs by {difference:.1e}",
          flush=True)
    return card.name


def first_card() -> Optional[Card]:
    """Return the GPU that TensorFlow takes, or None where it sees none."""
    from utils.classifier.frameworks import device_lib, without_greetings

    with without_greetings():
        devices = device_lib.list_local_devices(session_config())
    for each in devices:
        if each.device_type == "GPU":
            name, major, minor = re.findall(r"name: (.*?),.* compute capability: (\d+)\.(\d+)",
                                            each.physical_device_desc)[0]
            return Card(name, int(major), int(minor))
    return None


def loaded_cuda() -> int:
    """Return the main version of the CUDA runtime in this process.

    Where no library of it is loaded, because it is linked into TensorFlow itself: the oldest that
    this TensorFlow is built on.
    """
    from utils.classifier.frameworks import OLDEST_CUDA

    with open("/proc/self/maps") as file:
        versions = re.findall(r"/libcudart\.so\.(\d+)", file.read())
    return max(map(int, versions), default=OLDEST_CUDA)


def check(card: str, compute: Compute) -> float:
    """Return the larger of the relative differences between GPU and CPU, of logits and gradient.

    Raises UserError beyond LARGEST_DIFFERENCE, or when the GPU, named `card`, cannot compute at
    all.
    """
    from utils.classifier.frameworks import tf

    expected = compute("/cpu:0")
    try:
        on_card = compute(None)
    except tf.errors.OpError as error:
        raise UserError(f"{card}: TensorFlow {tf.__version__} cannot compute on it "
                        f"({error.message.splitlines()[0]}){MEND}")
    difference = np.max([np.linalg.norm(other - right) / np.linalg.norm(right)
                         for other, right in zip(on_card, expected)])
    if not difference <= LARGEST_DIFFERENCE:  # NaN, too
        raise UserError(f"{card}: computes other numbers than the CPU (they differ by "
                        f"{difference:.1e}, rounding by less than {LARGEST_DIFFERENCE}){MEND}")
    return difference


def logits_and_gradient(device: Optional[str]) -> List[np.ndarray]:
    """Compute a VGG16's logits, (7,), and the gradient of the largest of them, (64, 64, 3).

    Weights and image are random but fixed.
    """
    from utils.classifier.convolution_gradients import flipped_kernel_gradients
    from utils.classifier.frameworks import K, tf

    start_session(0, inference=True)
    random = np.random.RandomState(0)
    with tf.device(device), flipped_kernel_gradients():
        model = architectures.build_classifier("VGG16", 64, 7)
        shapes = [weights.shape.as_list() for weights in model.weights]
        model.set_weights([random.normal(size=shape, scale=(2 / np.prod(shape[:-1])) ** 0.5)
                           for shape in shapes])
        logits = model.get_layer("logits").output
        gradient, = tf.gradients(tf.reduce_max(logits, 1), model.input)
        x = random.uniform(-1, 1, (1, 64, 64, 3)).astype(np.float32)
        return [values[0] for values in K.get_session().run([logits, gradient], {model.input: x})]


def main() -> None:
    if choose() is None:
        print("no GPU that TensorFlow can use: computing on the CPU")


if __name__ == "__main__":
    run_script(main)
