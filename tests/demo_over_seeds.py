"""Whether the demo shows its claim for every seed: accuracy, and UAPs against both controls.

    python tests/demo_over_seeds.py --seeds 10

Runs `python -m data.demo` for seeds 0, 1, 2 ... below --folder (finished ones are not run again)
and prints a row for each. Expected: every classifier has at least 70 % test accuracy for every
seed; all nine UAPs beat both controls, with p at most 0.05 by McNemar's exact test, corrected for
the 18 tests of a seed by Holm's method, for at least 8 of 10. Writes the median of each cell's rate
over the seeds to --folder/expected.csv, laid out as results/expected-demo.csv, and prints how far a
seed is from it at most. Not part of the test suite: a seed takes minutes.
"""

import collections
import os
import resource
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from utils.classifier.architectures import ARCHITECTURES  # noqa: E402
from utils.common import arguments  # noqa: E402
from utils.common.csv_files import write_csv  # noqa: E402
from utils.common.errors import run_script  # noqa: E402
from utils.evaluation import evaluated_uap, metrics  # noqa: E402
from utils.report.sections import against_controls  # noqa: E402


def run_demo(folder, seed):
    """(The demo's folder for one seed, seconds of its processors), made where it is missing.

    What it prints, and in the last line these seconds, is in a .log beside.
    """
    done = os.path.join(folder, str(seed))
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(os.path.join(done, "results", "table.csv")):
        with open(done + ".log", "w", encoding="utf-8") as log:
            before = processor_seconds()
            subprocess.check_call([sys.executable, "-m", "data.demo", "--seed", str(seed),
                                   "--folder", done], stdout=log, stderr=subprocess.STDOUT)
            log.write("\n{:.0f}".format(processor_seconds() - before))
    with open(done + ".log", encoding="utf-8") as log:
        return done, log.read().split()[-1]


def processor_seconds():
    """Of all that this process has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def accuracies(runs):
    """Dict from each classifier to its share of test images predicted right."""
    return {run.classifier.name: metrics.accuracy(
        run.predictions["label"], run.predictions["clean"]).value for run in runs}


def cells_beaten(runs):
    """(UAPs that beat both controls, all UAPs) of one demo, DeepFool's nine."""
    _, better = against_controls([run for run in runs if run.uap.attack == "deepfool"])
    return sum(better), len(better)


def write_expected(path, runs):
    """Write the median rate of each cell, in %; return the largest distance from it, in points.

    runs: of all seeds.
    """
    cells = collections.defaultdict(list)
    for run in runs:
        cells[run.uap.source, run.uap.attack, run.classifier.name].append(100 * run.rate().value)
    expected = {cell: round(np.median(its), 1) for cell, its in cells.items()}
    write_csv(path, ("source", "attack") + ARCHITECTURES, [
        row + tuple(expected.get(row + (model,), "") for model in ARCHITECTURES)
        for row in sorted({cell[:2] for cell in cells})])
    return max(abs(rate - expected[cell]) for cell, its in cells.items() for rate in its)


def main():
    parser = arguments.script_parser(__doc__)
    parser.add_argument("--seeds", type=arguments.count, default=10, help="(default: %(default)s)")
    parser.add_argument("--folder", default="demo-seeds", help="(default: %(default)s)")
    args = parser.parse_args()
    good_accuracy, good_cells, of_all_seeds = 0, 0, []
    for seed in range(args.seeds):
        folder, seconds = run_demo(args.folder, seed)
        runs = [evaluated_uap.read_evaluated(its) for its in evaluated_uap.find(os.path.join(folder, "results"))]
        scores = accuracies(runs)
        beaten, cells = cells_beaten(runs)
        of_all_seeds += runs
        good_accuracy += min(scores.values()) >= 0.7
        good_cells += beaten == cells
        print("seed {}: test accuracy {}; {} of {} UAPs beat both controls; {} processor seconds"
              .format(seed, ", ".join("{} {:.1%}".format(*item) for item in scores.items()),
                      beaten, cells, seconds), flush=True)
    farthest = write_expected(os.path.join(args.folder, "expected.csv"), of_all_seeds)
    print("rates: at most {:.1f} points from the median over the seeds".format(farthest))
    print("70 % or more everywhere: {} of {} seeds; all UAPs beat both controls: {} of {}".format(
        good_accuracy, args.seeds, good_cells, args.seeds))


if __name__ == "__main__":
    run_script(main)
