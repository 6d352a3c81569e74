"""Does the memory of make_uap.py grow with the number of images? A benchmark, not a test.

    sh utils/environment.sh python tests/benchmark_memory.py demo/models/VGG16.h5

Prints the peak memory of one pass of SGD over 1,000 and over 20,000 generated images.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def peak_memory(command):
    """Run a command; the largest resident set of its process, in MB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss / 1024


def main():
    model_file, = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as results:
        random, megabytes = np.random.RandomState(0), []
        for i in range(20000):
            pixels = random.randint(0, 256, (6, 6, 3), np.uint8)
            Image.fromarray(pixels).resize((96, 96), Image.BICUBIC).save(
                os.path.join(folder, f"{i:05d}.jpg"))
        for n in (1000, 20000):
            megabytes.append(peak_memory([
                sys.executable, os.path.join(ROOT, "make_uap.py"), "--model-file", model_file,
                "--source-dir", folder, "--num-images", str(n), "--attack", "sgd", "--results-dir",
                results]))
            print(f"{megabytes[-1]:.0f} MB for {n:,} images")
    print(f"{megabytes[1] / megabytes[0] - 1:+.1%}")


if __name__ == "__main__":
    main()
