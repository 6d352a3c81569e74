"""The whole study in minutes, on generated images: every cell of the table.

    python -m data.demo

Pretrains each classifier on generated natural images, fine-tunes it on generated lesions, makes
UAPs by DeepFool from three sources and one by SGD, evaluates them and prints the table, by the
commands of README.md with the settings of data/demo.yaml. At its end it checks what it promises
(results/demo-check.csv). Its numbers are not those of the study.

The commands run side by side, one on each core, as soon as what they read is there: this uses two
cores better than one command after the other does. Everything is below demo/; demo/log.txt holds
the settings, each command and all that it printed. With --smoke, one classifier and a handful of
images go the same way in less than a minute: whether everything works here, not whether the UAPs
fool.
"""

import contextlib
import functools
import json
import os
import re
import shlex
import signal
import sys
import tempfile
import time
from typing import IO, Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Set

import yaml
from tqdm import tqdm

from data.generate import generate
from utils.classifier.architectures import ARCHITECTURES
from utils.common import arguments
from utils.common.errors import UserError, run_script
from utils.common.whole_files import write_text
from utils.evaluation.up_to_date import find_work
from utils.evaluation.what_to_predict import find_uaps, plan_rows

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SETTINGS_FILE = os.path.join(ROOT, "data", "demo.yaml")
PROMISES = os.path.join(ROOT, "results", "demo-check.csv")
CHECK_VERDICT = "check of "  # how evaluate.py begins to say what a check found
# A run of --smoke: so many generated lesions, natural images of each set, and images of a UAP.
SMOKE_LESIONS, SMOKE_NATURAL_IMAGES, SMOKE_UAP_IMAGES = 28, 48, 4
SMOKE_TRAINING = ("--epochs", "1", "--limit", "14")
TELLING_OUTPUT = {"train_model.py": r"test  accuracy [\d.]+ ?%",
                  "make_uap.py": r"\d+ of \d+ steps kept"}
MOST_AT_ONCE = 3  # commands; each takes up to 2 GB of memory
LONGEST_FIRST = ("InceptionV3", "VGG16", "ResNet50")  # by the time of all that is done with each
REST_OF_THE_TABLE = "## Every run"  # the wide tables, for which there is the report
FORKS: Set[int] = set()  # the ids of all forks of this process, also of those that have ended


class Folders(NamedTuple):
    """Where the demo keeps its files."""

    data: str
    models: str
    results: str
    log: str


class TitledCommand(NamedTuple):
    """One command of the study, and what it does.

    after: the titles of the commands that it waits for. part: a function that does a part of the
    command, and reads its arguments from sys.argv; None where the whole command is meant.
    """

    title: str
    command: List[str]
    after: Sequence[str] = ()
    part: Optional[Callable[[], Any]] = None


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


class Running(NamedTuple):
    """A command that runs in a fork of this process.

    process: the fork's id. output: the file of what it prints. began: a time of time.monotonic().
    """

    titled: TitledCommand
    process: int
    output: IO[str]
    began: float


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
    FORKS.add(process)
    return process


def end_forks() -> None:
    """End the forks that are at work, and wait until they have saved their checkpoints.

    A fork that comes here itself, on its way out of main, ends none: they are not its children.
    """
    at_work = []
    for process in FORKS:
        with contextlib.suppress(ChildProcessError):  # it was waited for
            if os.waitpid(process, os.WNOHANG)[0] == 0:
                os.kill(process, signal.SIGTERM)
                at_work.append(process)
    for process in at_work:
        os.waitpid(process, 0)


def start(titled: TitledCommand) -> Running:
    """Start one of the scripts in a fork of this process.

    This process has imported TensorFlow: the scripts start seconds earlier. They draw no progress
    bars, for nobody sees their output before their end.
    """
    script, output = titled.command[0], tempfile.TemporaryFile("w+", encoding="utf-8")

    def call() -> None:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        tqdm.__init__ = functools.partialmethod(tqdm.__init__, disable=True)
        sys.argv = list(titled.command)
        (titled.part or __import__(script[:-len(".py")]).main)()

    sys.stdout.flush()
    return Running(titled, fork(call), output, time.monotonic())


def end(running: Running, status: int, processor_seconds: float, log: str) -> Ended:
    """Tell how a command ended, and append it and its output to the file `log`.

    status: as of os.wait4. processor_seconds: what it used of all processors.
    """
    seconds = time.monotonic() - running.began
    with running.output as output:
        output.seek(0)
        text = output.read()
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    part = "  # a part of it" if running.titled.part else ""
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"$ python {' '.join(map(shlex.quote, running.titled.command))}{part}\n{text}"
                   f"# exit code {code}; {seconds:.1f} s, of the processors "
                   f"{processor_seconds:.1f} s\n\n")
    return Ended(code, text, seconds)


def run(command: List[str], log: str) -> Ended:
    """Run one of the scripts; append its command and output to the file `log`."""
    running = start(TitledCommand("", command))
    _, status, used = os.wait4(running.process, 0)
    return end(running, status, used.ru_utime + used.ru_stime, log)


def quoted_result(script: str, output: str) -> str:
    """Return how a command went, in the words of its output that tell, or nothing."""
    found = re.findall(TELLING_OUTPUT[script], output) if script in TELLING_OUTPUT else []
    return f", {found[-1]}" if found else ""


def first_of(titles: Sequence[str]) -> str:
    """Name the first of some titles, and say how many more there are."""
    return titles[0] + (f" and {len(titles) - 1} more" if len(titles) > 1 else "")


def run_side_by_side(commands: Sequence[TitledCommand], log: str, clock: Clock, last: str) -> None:
    """Run commands, one on each core; say of each how long it took and what comes next.

    commands: each is started as soon as those that it waits for have ended and a core is free, the
    first of several that could be. TensorFlow gets as many threads in each as there are cores for
    it: more of them would wait for each other. last: what comes after them all.
    Raises UserError when one fails, once those that run beside it have ended.
    """
    cores = os.cpu_count() or 1
    if sys.platform != "darwin":  # which does not tell on which of them a process may run
        cores = len(os.sched_getaffinity(0))
    at_once = min(cores, MOST_AT_ONCE)
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, str(-(-cores // at_once)))
    waiting, failed, how_it_went = list(commands), "", ""
    running: Dict[int, Running] = {}
    done: Set[str] = set()
    while True:
        ready = [each for each in waiting if done.issuperset(each.after) and not failed]
        begun = [start(titled) for titled in ready[:at_once - len(running)]]
        running.update((each.process, each) for each in begun)
        waiting = [each for each in waiting if each not in [one.titled for one in begun]]
        at_work = [each.titled.title for each in running.values()]
        if begun:
            following = f"next: {first_of([each.titled.title for each in begun])}"
        else:
            following = f"still: {first_of(at_work)}" if at_work else f"next: {last}"
        if how_it_went:
            clock.say(f"{how_it_went}; {following}")
        if not running:
            break
        process, status, used = os.wait4(-1, 0)
        titled = running[process].titled
        ended = end(running.pop(process), status, used.ru_utime + used.ru_stime, log)
        done.add(titled.title)
        how_it_went = (f"{titled.title}: {ended.seconds:.0f} s"
                       f"{quoted_result(titled.command[0], ended.output)}")
        if ended.code:
            print(ended.output, end="", file=sys.stderr)
            failed = f"{titled.command[0]} ended with exit code {ended.code}"
    if failed:
        raise UserError(f"the demo stopped: {failed}; {log} has its command")


def commands_of(model: str, args: Any, settings: Dict[str, Any]) -> List[TitledCommand]:
    """Pretrain one classifier, fine-tune it, make its four UAPs, and predict their rows."""
    folders, dataset = folders_of(args), settings["pretrain_dataset"]
    train = ["train_model.py", "--model", model,
             "--image-size", str(settings["image_size"][model]), "--seed", str(args.seed),
             "--data-dir", folders.data, "--models-dir", folders.models]
    smaller = list(SMOKE_TRAINING) if args.smoke else []
    pretrained, classifier = (os.path.join(folders.models, name)
                              for name in (f"{model}-{dataset}", model))
    pretraining = TitledCommand(
        f"{model}, pretrained on natural images",
        train + ["--dataset", dataset, "--weights", "none"]
        + shlex.split(settings["pretrain_options"][model]) + smaller)
    fine_tuning = TitledCommand(
        f"{model}, fine-tuned on lesions",
        train + ["--weights", pretrained + ".h5"]
        + shlex.split(settings["train_options"][model]) + smaller, after=[pretraining.title])
    uaps = []
    natural, lesions = settings["natural_images"], settings["isic_images"]
    for attack, source, images, title in (
            ("deepfool", "open_images_v5", natural, "DeepFool from Open Images"),
            ("deepfool", "ilsvrc2012", natural, "DeepFool from ILSVRC2012"),
            ("deepfool", "isic2018", lesions, "DeepFool from lesions"),
            ("sgd", "ilsvrc2012", settings["sgd_images"], "SGD from ILSVRC2012")):
        uaps.append(TitledCommand(
            f"{model}, UAP by {title}",
            ["make_uap.py", "--model-file", classifier + ".h5", "--attack", attack,
             "--source", source, "--num-images", str(SMOKE_UAP_IMAGES if args.smoke else images),
             "--norm-ratio", str(settings["norm_ratio"]), "--seed", str(args.seed),
             "--data-dir", folders.data, "--results-dir", folders.results],
            after=[fine_tuning.title]))
    rows = TitledCommand(
        f"{model}, test images predicted under its UAPs", evaluation_of(args, settings),
        after=[uap.title for uap in uaps], part=functools.partial(predict_rows_of, model))
    return [pretraining, fine_tuning, *uaps, rows]


def evaluation_of(args: Any, settings: Dict[str, Any]) -> List[str]:
    """Return the command that evaluates all UAPs and writes the table."""
    folders = folders_of(args)
    return ["evaluate.py", "--data-dir", folders.data, "--models-dir", folders.models,
            "--results-dir", folders.results, *shlex.split(settings["evaluate_options"])]


def predict_rows_of(model: str) -> None:
    """Predict the rows of one classifier, the part of evaluate.py that takes long.

    Other processes may do the same for other classifiers meanwhile. The whole command then finds
    these rows up to date.
    """
    from evaluate import bring_up_to_date, parse_arguments

    evaluation = parse_arguments()
    uaps = [uap for uap in find_uaps(evaluation) if uap.classifier.name == model]
    bring_up_to_date(evaluation, find_work(evaluation, plan_rows(evaluation, uaps)))


def folders_of(args: Any) -> Folders:
    """Return the folders of data, models and results below --folder, and the file of all output."""
    return Folders(*(os.path.join(args.folder, name)
                     for name in ("data", "models", "results", "log.txt")))


def read_settings() -> Dict[str, Any]:
    """Return what data/demo.yaml holds."""
    with open(SETTINGS_FILE, encoding="utf-8") as file:
        return yaml.safe_load(file)


def claim_folder(args: Any, settings: Dict[str, Any]) -> None:
    """Begin the log of a new --folder with the settings, in its first line.

    Raises UserError when there are files already, and their log does not begin so: what is of other
    settings is not continued, and not mixed with this demo.
    """
    folders, first_line = folders_of(args), ""
    claim = "# settings: " + json.dumps(
        dict(settings, seed=args.seed, smoke=args.smoke), sort_keys=True) + "\n"
    if not any(map(os.path.lexists, folders)):
        write_text(folders.log, claim)
        return
    if os.path.exists(folders.log):
        with open(folders.log, encoding="utf-8", errors="replace") as file:
            first_line = file.readline()
    if first_line != claim:
        raise UserError(f"{args.folder}: holds a demo of other settings, or none: {folders.log} "
                        "does not begin with those of this one; give another --folder, or remove "
                        "this one")


def evaluate(args: Any, settings: Dict[str, Any], clock: Clock) -> None:
    """Evaluate all UAPs, print the table and, in the last line, what the check of it says."""
    folders = folders_of(args)
    check = [] if args.smoke else ["--check", os.path.relpath(PROMISES)]
    ended = run(evaluation_of(args, settings) + check, folders.log)
    # Python gives 1, too, when it stops at an error of the code's: without what the check says.
    has_failed_check = ended.code == 1 and CHECK_VERDICT in ended.output
    if ended.code and not has_failed_check:
        print(ended.output, end="", file=sys.stderr)
        raise UserError(f"evaluate.py ended with exit code {ended.code}")
    clock.say(f"evaluated: {ended.seconds:.0f} s; the table:")
    with open(os.path.join(folders.results, "table.md"), encoding="utf-8") as file:
        print("\n" + file.read().split(REST_OF_THE_TABLE)[0])
    print(f"Every number and the pictures: {os.path.join(folders.results, 'report.html')}")
    if args.smoke:
        clock.say("smoke: every step ran to its end here; these rates mean nothing")
        return
    # What evaluate.py said behind its table: the check's verdict, and behind it what is not kept.
    print(ended.output[ended.output.rindex(CHECK_VERDICT):], end="")
    clock.say("the demo's check " + ("failed, as listed above" if ended.code else "passed"))
    sys.exit(ended.code)


def run_study(args: Any, settings: Dict[str, Any]) -> None:
    """Generate the images, make every classifier and UAP, and evaluate them."""
    clock, folders = Clock(), folders_of(args)
    models = ARCHITECTURES[:1] if args.smoke else LONGEST_FIRST
    clock.say(f"the study on generated images: {', '.join(models)}; every command and its output "
              f"is in {folders.log}")
    generate_all = functools.partial(generate, folders.data, seed=args.seed)
    if args.smoke:
        generate_all = functools.partial(generate_all, isic_images=SMOKE_LESIONS,
                                         natural_images=SMOKE_NATURAL_IMAGES)
    generating = fork(generate_all)
    # Meanwhile, and once for all forks, what takes seconds to import:
    import sklearn.metrics  # noqa: F401

    from utils.classifier import frameworks  # noqa: F401
    from utils.common import figures  # noqa: F401

    if os.waitpid(generating, 0)[1]:
        raise UserError("the demo stopped: no images, as said above")
    clock.say("images generated; next: every classifier is pretrained on natural images")
    # The trainings, on which everything waits, before any UAP; of each kind the longest first.
    kinds = zip(*(commands_of(model, args, settings) for model in models))
    run_side_by_side([command for kind in kinds for command in kind], folders.log, clock,
                     last="the table")
    evaluate(args, settings, clock)


def main() -> None:
    parser = arguments.script_parser(__doc__, "seed")
    parser.add_argument("--folder", default="demo", help="(default: %(default)s)")
    parser.add_argument("--smoke", action="store_true",
                        help="one classifier and a handful of images, in less than a minute")
    args = parser.parse_args()
    settings = read_settings()
    claim_folder(args, settings)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that kill ends the forks, too
    try:
        run_study(args, settings)
    finally:
        end_forks()


if __name__ == "__main__":
    run_script(main)
