"""The whole study in minutes: generated images, random weights, every cell of the table.

    python -m data.demo

Runs the commands of README.md for 3 models x 3 sources at a small size and prints the table. It
shows that everything works and what it leaves where; its numbers are not those of the study.
Everything is written below one folder, demo/.
"""

import argparse
import collections
import os
import shlex
import subprocess
import sys

from data.generate import generate
from utils.classifier import ARCHITECTURES
from utils.datasets import SOURCES
from utils.errors import UserError, run_script

NOTE = ("DEMO on generated images, from random weights: not a reproduction of the published "
        "rates that stand beside")
Size = collections.namedtuple("Size", "models isic_images natural_images epochs passes")
FULL = Size(ARCHITECTURES, 280, 40, 5, 1)
TINY = Size(ARCHITECTURES[:1], 28, 4, 1, 1)  # for the tests

IMAGE_SIZE = {"VGG16": 40, "ResNet50": 48, "InceptionV3": 75}  # what 2 cores manage in the time
LEARNING_RATE = {"VGG16": 0.003, "ResNet50": 0.003, "InceptionV3": 0.0015}
NORM_RATIO = 0.1  # classifiers from random weights, trained for minutes, need more than 0.04


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="demo", help="(default: %(default)s)")
    parser.add_argument("--tiny", action="store_true",
                        help="one model, a handful of images: a test of the demo itself")
    return parser.parse_args()


def run(script, **options):
    """Print and run one of the scripts; options with _ for -. Raises UserError."""
    words = [script]
    for option, value in options.items():
        words += ["--" + option.replace("_", "-"), str(value)]
    print("\n$ python " + " ".join(map(shlex.quote, words)), flush=True)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    code = subprocess.call([sys.executable, os.path.join(root, script)] + words[1:])
    if code:
        raise UserError("the demo stopped: {} ended with exit code {}".format(script, code))


def main():
    args = parse_arguments()
    size = TINY if args.tiny else FULL
    folders = {name: os.path.join(args.folder, name) for name in ("data", "models", "results")}
    generate(folders["data"], size.isic_images, size.natural_images)
    for model in size.models:
        run("train_model.py", model=model, weights="none", image_size=IMAGE_SIZE[model],
            epochs=size.epochs, learning_rate=LEARNING_RATE[model], batch_size=8,
            data_dir=folders["data"], models_dir=folders["models"])
    for model in size.models:
        for source in SOURCES:
            run("make_uap.py", model_file=os.path.join(folders["models"], model + ".h5"),
                source=source, num_images=size.natural_images, passes=size.passes,
                norm_ratio=NORM_RATIO, data_dir=folders["data"], results_dir=folders["results"])
    run("evaluate.py", data_dir=folders["data"], models_dir=folders["models"],
        results_dir=folders["results"], note=NOTE)


if __name__ == "__main__":
    run_script(main)
