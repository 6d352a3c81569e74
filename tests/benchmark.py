"""How fast are training, attacks and evaluation, in each environment? A benchmark, not a test.

    make benchmark

or, for less of it, `sh utils/environment.sh python tests/benchmark.py --models VGG16`; the folders
of ART come from make. tests/README.md has the results.

On classifiers with random weights and images of random pixels, the same in both environments, on
the processor. In each repetition, the environments take turns at each measure, so that whatever
else the machine does is shared; each has processes of its own (benchmark_side.py). Measured are

- a batch of the training, and of the evaluation,
- the gradient of a minibatch of --attack sgd,
- an iteration of DeepFool, which asks for the gradients of all classes,
- and the peers of these: DeepFool of the Adversarial Robustness Toolbox (ART), each environment
  with the newest version that runs there; a forward and a backward pass of the unmodified Keras
  model; its model.predict. ART runs with TensorFlow's own settings, Keras with those of this code.

--leave-out measures instead what the gradients gain from each of their hand-written parts.
"""

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np

from utils.classifier.architectures import ARCHITECTURES
from utils.common import arguments
from utils.common.errors import run_script

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
Environment = collections.namedtuple("Environment", "title name art")
ENVIRONMENTS = (Environment("the study's", "", ".venv-art"),
                Environment("tf2", "tf2", ".venv-art-tf2"))
PEERS = {"DeepFool": "DeepFool of ART", "SGD": "forward and backward pass of Keras",
         "evaluation": "model.predict of Keras"}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models", nargs="+", default=ARCHITECTURES, help="(default: all three)")
    add("--image-size", type=arguments.count, default=299, help="(default: %(default)s)")
    add("--batch-size", type=arguments.count, default=8,
        help="images in each batch; memory grows with it (default: %(default)s)")
    add("--repetitions", type=arguments.count, default=3, help="(default: %(default)s)")
    add("--leave-out", action="store_true", help="measure the hand-written parts of the gradients")
    return parser.parse_args()


class Process:
    """One environment's process for one role of benchmark_side.py."""

    def __init__(self, environment, role, settings):
        variables = dict(os.environ, CUDA_VISIBLE_DEVICES="", ENVIRONMENT=environment.name)
        if role == "art":  # which says nothing for itself
            variables.update(PYTHONPATH=os.path.join(ROOT, environment.art),
                             TF_CPP_MIN_LOG_LEVEL="2")
        self._process = subprocess.Popen(
            ["sh", os.path.join(ROOT, "utils", "environment.sh"), "python",
             os.path.join(ROOT, "tests", "benchmark_side.py"), role, json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True, env=variables)

    def answer(self):
        """What its next line says; ends the benchmark when there is none."""
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a process of the benchmark ended too early")
        return json.loads(line)

    def compute(self, measure):
        """(amount, wall seconds, processor seconds)."""
        self._process.stdin.write(measure + "\n")
        self._process.stdin.flush()
        return self.answer()

    def end(self):
        self._process.kill()  # it would wait for another name, and leaves nothing
        self._process.wait()


def measured(settings, roles, repetitions):
    """From (measure, environment) to an array of (amount, wall seconds, processor seconds), one row
    for each repetition."""
    found = collections.defaultdict(list)
    with contextlib.ExitStack() as stack:
        processes = {}  # those of an environment, by measure
        for role in roles:
            of_role = [Process(environment, role, settings) for environment in ENVIRONMENTS]
            for environment, process in zip(ENVIRONMENTS, of_role):
                stack.callback(process.end)
                for measure in process.answer():
                    processes.setdefault(measure, {})[environment] = process
        for repetition in range(repetitions + 1):
            for measure, of_measure in processes.items():
                for environment, process in of_measure.items():
                    result = process.compute(measure)
                    if repetition:  # the first run of anything prepares it
                        found[measure, environment].append(result)
    return {key: np.array(rows) for key, rows in found.items()}


def speeds(rows):
    """Amounts per processor second, one for each repetition."""
    return rows[:, 0] / rows[:, 2]


def with_range(ratios):
    return "{:.2f} ({:.2f} to {:.2f})".format(np.median(ratios), ratios.min(), ratios.max())


def report(found):
    """Print a line for each measure: its speed in each environment, and the ratio of these; and one
    for each pair of a measure and its peer, or what it is without one of its parts."""
    study, today = ENVIRONMENTS
    row = "{:55s}{:>22}{:>22}{:>22}"
    print(row.format("per second; per processor second", study.title, today.title,
                     "tf2 over the study's"))
    measures = list(dict.fromkeys(measure for measure, _ in found))
    for measure in measures:
        of_measure = [found[measure, environment] for environment in ENVIRONMENTS]
        print(row.format(measure, *(
            "{:.2f}; {:.2f}".format(np.median(rows[:, 0] / rows[:, 1]), np.median(speeds(rows)))
            for rows in of_measure), with_range(speeds(of_measure[1]) / speeds(of_measure[0]))))
    print(row.format("times as fast, by processor seconds", study.title, today.title, ""))
    pairs = [pair for pair in PEERS.items() if set(pair) <= set(measures)]
    pairs += [(measure.split(" without ")[0], measure) for measure in measures
              if " without " in measure]
    for ours, other in pairs:
        print(row.format("{} over {}".format(ours, other), *(
            with_range(speeds(found[ours, environment]) / speeds(found[other, environment]))
            for environment in ENVIRONMENTS), ""))
    sys.stdout.flush()


def main():
    args = parse_arguments()
    for name in args.models:
        with tempfile.TemporaryDirectory() as folder:
            settings = dict(architecture=name, path=os.path.join(folder, name + ".h5"),
                            size=args.image_size, batch_size=args.batch_size,
                            leave_out=args.leave_out)
            maker = Process(ENVIRONMENTS[0], "network", settings)
            maker.answer()
            maker.end()
            groups = [["training"], ["attack"] if args.leave_out else ["attack", "art"]]
            found = {}
            for roles in groups:  # one after the other, for memory
                found.update(measured(settings, roles, args.repetitions))
        print("\n{} at {} x {}, batches of {}, {} repetitions".format(
            name, args.image_size, args.image_size, args.batch_size, args.repetitions))
        report(found)


if __name__ == "__main__":
    run_script(main)
