"""The whole study in minutes, on generated images: every cell of the table.

    python -m data.demo

Pretrains each classifier on generated natural images, fine-tunes it on generated lesions, makes
UAPs by DeepFool from three sources and one by SGD, evaluates them and prints the table, by the
commands of README.md with the settings of data/demo.yaml. At its end it checks what it promises
(results/demo-check.csv). Its numbers are not those of the study.

The three classifiers are trained and attacked side by side, which uses two cores better than one
after the other does. Everything is below demo/; demo/log.txt holds each command and all that it
printed. With --smoke, one classifier and a handful of images go the same way in less than a
minute: whether everything works here, not whether the UAPs fool.
"""

import functools
import os
import re
import shlex
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

import yaml
from tqdm import tqdm

from data.generate import generate
from utils.classifier.architectures import ARCHITECTURES
from utils.common import arguments
from utils.common.errors import UserError, run_script

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SETTINGS_FILE = os.path.join(ROOT, "data", "demo.yaml")
PROMISES = os.path.join(ROOT, "results", "demo-check.csv")
# A run of --smoke: so many generated lesions, natural images of each set, and images of a UAP.
SMOKE_LESIONS, SMOKE_NATURAL_IMAGES, SMOKE_UAP_IMAGES = 28, 48, 4
SMOKE_TRAINING = ("--epochs", "1", "--limit", "14")
TELLING_OUTPUT = {"train_model.py": r"test  accuracy [\d.]+ ?%",
                  "make_uap.py": r"\d+ of \d+ steps kept"}
REST_OF_THE_TABLE = "## Every run"  # the wide tables, for which there is the report


class Folders(NamedTuple):
    """Where the demo keeps its files."""

    data: str
    models: str
    results: str
    log: str


class TitledCommand(NamedTuple):
    """One command of the study, and what it does."""

    title: str
    command: List[str]


class Clock:
    """Tells the time since the demo began, and prints its lines."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the demo began."""
        return time.monotonic() - self._began

    def say(self, text: str) -> None:
        """Print a line behind the minutes and seconds since the demo began."""
        minutes, seconds = divmod(int(self.seconds()), 60)
        print(f"{minutes:2d}:{seconds:02d}  {text}", flush=True)


class Ended(NamedTuple):
    """How a command ended: its exit code, minus the signal's number; its output; its seconds."""

    code: int
    output: str
    seconds: float


def fork(function: Callable[[], Any]) -> int:
    """Call a function in a fork of this process, to its normal end; returns the fork's id."""
    process = os.fork()
    if process == 0:
        run_script(function)
        sys.exit()
    return process


def run(command: Sequence[str], log: str) -> Ended:
    """Run one of the scripts; append its command and output to the file `log`.

    It runs in a fork of this process, which has imported TensorFlow: the scripts start seconds
    earlier.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        def call() -> None:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            sys.argv = list(command)
            __import__(command[0][:-len(".py")]).main()

        sys.stdout.flush()
        _, status, used = os.wait4(fork(call), 0)
        output.seek(0)
        text = output.read()
    seconds = time.monotonic() - began
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"$ python {' '.join(map(shlex.quote, command))}\n{text}"
                   f"# exit code {code}; {seconds:.1f} s, of the processors "
                   f"{used.ru_utime + used.ru_stime:.1f} s\n\n")
    return Ended(code, text, seconds)


def quoted_result(script: str, output: str) -> str:
    """Return how a command went, in the words of its output that tell, or nothing."""
    return "".join(f", {words}" for words in re.findall(TELLING_OUTPUT[script], output)[-1:])


def run_commands(commands: Sequence[TitledCommand], log: str, clock: Clock, last: str) -> None:
    """Run commands one after another; say of each how long it took and what comes next.

    last: what comes after them all. Raises UserError.
    """
    for number, titled in enumerate(commands):
        ended = run(titled.command, log)
        if ended.code:
            print(ended.output, end="", file=sys.stderr)
            raise UserError(f"{titled.command[0]} ended with exit code {ended.code}; {log} has its "
                            f"command")
        following = commands[number + 1].title if number + 1 < len(commands) else last
        clock.say(f"{titled.title}: {ended.seconds:.0f} s"
                  f"{quoted_result(titled.command[0], ended.output)}; next: {following}")


def commands_of(model: str, args: Any, settings: Dict[str, Any]) -> List[TitledCommand]:
    """Pretrain one classifier, fine-tune it, and make its four UAPs."""
    folders, dataset = folders_of(args), settings["pretrain_dataset"]
    train = ["train_model.py", "--model", model,
             "--image-size", str(settings["image_size"][model]), "--seed", str(args.seed),
             "--data-dir", folders.data, "--models-dir", folders.models]
    smaller = list(SMOKE_TRAINING) if args.smoke else []
    pretrained, classifier = (os.path.join(folders.models, name)
                              for name in (f"{model}-{dataset}", model))
    commands = [
        TitledCommand(
            f"{model}, pretrained on natural images",
            train + ["--dataset", dataset, "--weights", "none"]
            + shlex.split(settings["pretrain_options"][model]) + smaller),
        TitledCommand(
            f"{model}, fine-tuned on lesions",
            train + ["--weights", pretrained + ".h5"]
            + shlex.split(settings["train_options"][model]) + smaller)]
    natural, lesions = settings["natural_images"], settings["isic_images"]
    for attack, source, images, title in (
            ("deepfool", "open_images_v5", natural, "DeepFool from Open Images"),
            ("deepfool", "ilsvrc2012", natural, "DeepFool from ILSVRC2012"),
            ("deepfool", "isic2018", lesions, "DeepFool from lesions"),
            ("sgd", "ilsvrc2012", settings["sgd_images"], "SGD from ILSVRC2012")):
        commands.append(TitledCommand(
            f"{model}, UAP by {title}",
            ["make_uap.py", "--model-file", classifier + ".h5", "--attack", attack,
             "--source", source, "--num-images", str(SMOKE_UAP_IMAGES if args.smoke else images),
             "--norm-ratio", str(settings["norm_ratio"]), "--seed", str(args.seed),
             "--data-dir", folders.data, "--results-dir", folders.results]))
    return commands


def folders_of(args: Any) -> Folders:
    """Return the folders of data, models and results below --folder, and the file of all output."""
    return Folders(*(os.path.join(args.folder, name)
                     for name in ("data", "models", "results", "log.txt")))


def side_by_side(job: Callable[[str], None], models: Sequence[str]) -> None:
    """Call job(model) for all models at once, in forks without progress bars. Raises UserError."""
    def quietly(model: str) -> None:
        tqdm.__init__ = functools.partialmethod(tqdm.__init__, disable=True)
        job(model)

    forks = [fork(functools.partial(quietly, model)) for model in models]
    statuses = [os.waitpid(process, 0)[1] for process in forks]  # all are waited for
    if any(statuses):
        raise UserError("the demo stopped, as said above")


def evaluate(args: Any, settings: Dict[str, Any], clock: Clock) -> None:
    """Evaluate all UAPs, print the table and, in the last line, what the check of it says."""
    folders = folders_of(args)
    ended = run(["evaluate.py", "--data-dir", folders.data, "--models-dir", folders.models,
                 "--results-dir", folders.results, *shlex.split(settings["evaluate_options"])]
                + ([] if args.smoke else ["--check", PROMISES]), folders.log)
    if ended.code not in (0, 1):
        print(ended.output, end="", file=sys.stderr)
        raise UserError(f"evaluate.py ended with exit code {ended.code}")
    clock.say(f"evaluated: {ended.seconds:.0f} s; the table:")
    with open(os.path.join(folders.results, "table.md"), encoding="utf-8") as file:
        print("\n" + file.read().split(REST_OF_THE_TABLE)[0])
    print(f"Every number and the pictures: {os.path.join(folders.results, 'report.md')}")
    if args.smoke:
        clock.say("smoke: every step ran to its end here; these rates mean nothing")
        return
    # What evaluate.py said behind its table: the check's verdict, and behind it what is not kept.
    print(ended.output[ended.output.rindex("check of "):], end="")
    clock.say("the demo's check " + ("failed, as listed above" if ended.code else "passed"))
    sys.exit(ended.code)


def main() -> None:
    parser = arguments.script_parser(__doc__, "seed")
    parser.add_argument("--folder", default="demo", help="(default: %(default)s)")
    parser.add_argument("--smoke", action="store_true",
                        help="one classifier and a handful of images, in less than a minute")
    args = parser.parse_args()
    with open(SETTINGS_FILE, encoding="utf-8") as file:
        settings = yaml.safe_load(file)
    clock, folders = Clock(), folders_of(args)
    os.makedirs(args.folder, exist_ok=True)
    models = ARCHITECTURES[:1] if args.smoke else ARCHITECTURES
    clock.say(f"the study on generated images: {', '.join(models)}; every command and its output "
              f"is in {folders.log}")
    if args.smoke:
        generate(folders.data, SMOKE_LESIONS, SMOKE_NATURAL_IMAGES, seed=args.seed)
    else:
        generate(folders.data, seed=args.seed)
    from utils.classifier import frameworks  # noqa: F401  (for the forks)

    clock.say("images generated; next: every classifier is pretrained on natural images")

    def train_and_attack(model: str) -> None:
        run_commands(commands_of(model, args, settings), folders.log, clock, last="the table")

    side_by_side(train_and_attack, models)
    evaluate(args, settings, clock)


if __name__ == "__main__":
    run_script(main)
