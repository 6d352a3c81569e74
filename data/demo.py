"""The whole study in minutes, on generated images: every cell of the table.

    python -m data.demo

Pretrains each classifier on generated natural images, fine-tunes it on generated lesions, makes
UAPs from three sources, evaluates them and prints the table, by the commands of README.md with the
settings of data/demo.yaml. Its numbers are not those of the study. Everything is below demo/.
"""

import os
import shlex
import sys

import yaml

from data.generate import generate
from utils import arguments
from utils.classifier import ARCHITECTURES, import_quietly
from utils.datasets import SOURCES
from utils.errors import UserError, run_script

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def parse_arguments():
    parser = arguments.script_parser(__doc__, "seed")
    parser.add_argument("--folder", default="demo", help="(default: %(default)s)")
    parser.add_argument("--tiny", action="store_true",
                        help="one model, a handful of images: a test of the demo itself")
    return parser.parse_args()


def run(script, *words):
    """Print and run one of the scripts. Raises UserError.

    In a fork of this process, which has imported TensorFlow: the scripts start seconds earlier.
    """
    words = [script] + [str(word) for word in words]
    print("\n$ python " + " ".join(map(shlex.quote, words)), flush=True)
    process = os.fork()
    if process == 0:
        sys.argv = words
        run_script(__import__(script[:-len(".py")]).main)
        sys.exit()
    code = os.waitpid(process, 0)[1] >> 8
    if code:
        raise UserError("the demo stopped: {} ended with exit code {}".format(script, code))


def main():
    args = parse_arguments()
    with open(os.path.join(ROOT, "data", "demo.yaml"), encoding="utf-8") as file:
        settings = yaml.safe_load(file)
    data, models, results = (os.path.join(args.folder, name)
                             for name in ("data", "models", "results"))
    tiny = ["--epochs", "1", "--limit", "14"] if args.tiny else []
    architectures = ARCHITECTURES[:1] if args.tiny else ARCHITECTURES
    generate(data, *((28, 48) if args.tiny else ()), seed=args.seed)
    import_quietly()  # for the forks
    for model in architectures:
        train = ["--model", model, "--image-size", settings["image_size"][model], "--seed",
                 args.seed, "--data-dir", data, "--models-dir", models]
        run("train_model.py", *train, "--dataset", settings["pretrain_dataset"], "--weights",
            "none", *shlex.split(settings["pretrain_options"][model]), *tiny)
        run("train_model.py", *train, "--weights", os.path.join(
            models, "{}-{}.h5".format(model, settings["pretrain_dataset"])),
            *shlex.split(settings["train_options"][model]), *tiny)
    for model in architectures:
        for source in SOURCES:
            count = settings["isic_images" if source == "isic2018" else "natural_images"]
            run("make_uap.py", "--model-file", os.path.join(models, model + ".h5"), "--source",
                source, "--num-images", 4 if args.tiny else count, "--seed", args.seed,
                "--norm-ratio", settings["norm_ratio"], "--data-dir", data, "--results-dir", results)
    run("evaluate.py", "--data-dir", data, "--models-dir", models, "--results-dir", results,
        *shlex.split(settings["evaluate_options"]))


if __name__ == "__main__":
    run_script(main)
