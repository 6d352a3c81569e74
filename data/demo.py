"""The whole study in minutes, on generated images: every cell of the table.

    python -m data.demo

Pretrains each classifier on generated natural images, fine-tunes it on generated lesions, makes
UAPs by DeepFool from three sources and one by SGD, evaluates them and prints the table, by the
commands of README.md with the settings of data/demo.yaml. Its numbers are not those of the study.
The three classifiers are trained and attacked side by side, which uses two cores better than one
after the other does. Everything is below demo/.
"""

import functools
import os
import shlex
import sys
import tempfile

import yaml
from tqdm import tqdm

from data.generate import generate
from utils.classifier.architectures import ARCHITECTURES
from utils.classifier.session import import_quietly
from utils.common import arguments
from utils.common.errors import UserError, run_script

RESULT = {"train_model.py": "test ", "make_uap.py": "shown", "evaluate.py": ""}  # lines to print


def fork(function):
    """Call a function in a fork of this process, to its normal end; returns the fork's id."""
    process = os.fork()
    if process == 0:
        run_script(function)
        sys.exit()
    return process


def run(script, *words):
    """Run one of the scripts; print its command, and the lines of its output that tell the result.

    In a fork of this process, which has imported TensorFlow: the scripts start seconds earlier.
    Raises UserError.
    """
    words = [script] + [str(word) for word in words]
    with tempfile.TemporaryFile("w+") as output:
        def call():
            sys.argv, sys.stdout = words, output
            __import__(script[:-len(".py")]).main()

        status = os.waitpid(fork(call), 0)[1]
        output.seek(0)
        lines = [line for line in output if status or RESULT[script] in line]
    print("$ python {}\n{}".format(" ".join(map(shlex.quote, words)), "".join(lines)), end="",
          flush=True)
    if status:
        raise UserError("{} ended with {}".format(
            script, "exit code {}".format(os.WEXITSTATUS(status)) if os.WIFEXITED(status) else
            "signal {}".format(os.WTERMSIG(status))))


def train_and_attack(model, args, settings):
    """Pretrain one classifier, fine-tune it, and make its four UAPs. Raises UserError."""
    data, models, results = folders(args)
    tiny = ["--epochs", 1, "--limit", 14] if args.tiny else []
    train = ["train_model.py", "--model", model, "--image-size", settings["image_size"][model],
             "--seed", args.seed, "--data-dir", data, "--models-dir", models]
    dataset = settings["pretrain_dataset"]
    run(*train, "--dataset", dataset, "--weights", "none",
        *shlex.split(settings["pretrain_options"][model]), *tiny)
    run(*train, "--weights", os.path.join(models, "{}-{}.h5".format(model, dataset)),
        *shlex.split(settings["train_options"][model]), *tiny)
    natural, own = settings["natural_images"], settings["isic_images"]
    for attack, source, images in (
            ("deepfool", "open_images_v5", natural), ("deepfool", "ilsvrc2012", natural),
            ("deepfool", "isic2018", own), ("sgd", "ilsvrc2012", settings["sgd_images"])):
        run("make_uap.py", "--model-file", os.path.join(models, model + ".h5"), "--attack", attack,
            "--source", source, "--num-images", 4 if args.tiny else images, "--seed", args.seed,
            "--data-dir", data, "--results-dir", results, "--norm-ratio", settings["norm_ratio"])


def folders(args):
    """The folders of data, models and results."""
    return [os.path.join(args.folder, name) for name in ("data", "models", "results")]


def main():
    parser = arguments.script_parser(__doc__, "seed")
    parser.add_argument("--folder", default="demo", help="(default: %(default)s)")
    parser.add_argument("--tiny", action="store_true",
                        help="one model, a handful of images: a test of the demo itself")
    args = parser.parse_args()
    with open(os.path.join(os.path.dirname(__file__), "demo.yaml"), encoding="utf-8") as file:
        settings = yaml.safe_load(file)
    data, models, results = folders(args)
    generate(data, *((28, 48) if args.tiny else ()), seed=args.seed)
    import_quietly()  # for the forks
    print("Each command is printed with its result when it has ended.", flush=True)
    side_by_side(functools.partial(train_and_attack, args=args, settings=settings),
                 ARCHITECTURES[:1] if args.tiny else ARCHITECTURES)
    run("evaluate.py", "--data-dir", data, "--models-dir", models, "--results-dir", results,
        *shlex.split(settings["evaluate_options"]))


def side_by_side(job, models):
    """Call job(model) for all models at once, in forks without progress bars. Raises UserError."""
    def quietly(model):
        tqdm.__init__ = functools.partialmethod(tqdm.__init__, disable=True)
        job(model)

    forks = [fork(functools.partial(quietly, model)) for model in models]
    if any([os.waitpid(its, 0)[1] for its in forks]):  # a list: all are waited for
        raise UserError("the demo stopped, as said above")


if __name__ == "__main__":
    run_script(main)
