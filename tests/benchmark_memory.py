"""Does the memory of make_uap.py grow with the number of images? A benchmark, not a test.

    sh utils/environment.sh python tests/benchmark_memory.py demo/models/VGG16.h5

Prints the peak memory of one pass of FGSM over 1,000 and over 20,000 generated images.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FEW, MANY = 1000, 20000


def generate(folder, n):
    """Write n small images."""
    random_state = np.random.RandomState(0)
    for i in range(n):
        pixels = random_state.randint(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((96, 96), Image.BICUBIC).save(
            os.path.join(folder, "{:05d}.jpg".format(i)))


def peak_memory(command):
    """Run a command; the largest resident set of its process, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("{} failed".format(" ".join(command)))
    return usage.ru_maxrss / 1024


def main():
    model_file, = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        generate(folder, MANY)
        with tempfile.TemporaryDirectory() as results:
            few, many = (peak_memory(
                [sys.executable, os.path.join(ROOT, "make_uap.py"), "--model-file", model_file,
                 "--source-dir", folder, "--num-images", str(n), "--attack", "fgsm",
                 "--step-size", "0.05", "--norm-ratio", "1", "--results-dir", results])
                for n in (FEW, MANY))
    print("{:.0f} MB for {:,} images, {:.0f} MB for {:,}: {:+.1%}".format(
        few, FEW, many, MANY, many / few - 1))


if __name__ == "__main__":
    main()
