"""Whether the demo shows its claim for every seed, and the ranges that it promises.

    python tests/demo_over_seeds.py --seeds 10

Runs `python -m data.demo` for seeds 0, 1, 2 ... below --folder (finished ones are not run again,
those of other settings are refused) and prints a row for each: the test accuracies, and how many
UAPs fooled more images than both controls, with p at most 0.05 by McNemar's exact test, corrected
for the 24 tests of a seed by Holm's method. tests/README.md has these rows. Writes to
--folder/demo-check.csv, laid out as results/demo-check.csv, between which rates these seeds' and
those of --also were, folders of seed 0 on machines that round differently, and MARGIN points more;
but nothing that a control of seed 0 reaches, which is the seed of `make demo`. Not part of the test
suite: a seed takes minutes.
"""

import argparse
import os
import re
import subprocess
import sys
from typing import Dict, Iterable, List

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from data import demo  # noqa: E402
from utils.common import arguments  # noqa: E402
from utils.common.csv_files import write_csv  # noqa: E402
from utils.common.errors import UserError, run_script  # noqa: E402
from utils.evaluation import evaluated_uap, metrics  # noqa: E402
from utils.evaluation.rows import CONTROLS  # noqa: E402
from utils.report.numbers import against_controls  # noqa: E402
from utils.report.promises import LEAST_ACCURACY, PROMISE_COLUMNS, PromisedCell, Range  # noqa: E402

MARGIN = 10  # points, for the machines that were not tried


def run_demo(folder: str, seed: int) -> str:
    """The demo's folder for one seed, made where it is missing. What it prints is in a .out."""
    done = os.path.abspath(os.path.join(folder, str(seed)))
    table = os.path.join(done, "results", "table.csv")
    demo.claim_folder(argparse.Namespace(folder=done, seed=seed, smoke=False), demo.read_settings())
    if not os.path.exists(table):
        with open(done + ".out", "w", encoding="utf-8") as output:
            code = subprocess.call([sys.executable, "-m", "data.demo", "--seed", str(seed),
                                    "--folder", done], stdout=output, stderr=subprocess.STDOUT,
                                   cwd=demo.ROOT)
        # 1: its own check failed, which this script looks into; or it crashed, without a table.
        if code not in (0, 1) or not os.path.exists(table):
            raise UserError(f"{done}.out: the demo ended with exit code {code}, before its check")
    return done


def processor_seconds(folder: str) -> float:
    """Of all the commands of one demo, as its log says."""
    with open(os.path.join(folder, "log.txt"), encoding="utf-8") as log:
        return sum(map(float, re.findall(r"of the processors ([\d.]+) s", log.read())))


def accuracies(runs: Iterable[evaluated_uap.EvaluatedUap]) -> Dict[str, float]:
    """Each classifier's share of test images predicted right."""
    return {run.classifier.name: metrics.accuracy(
        run.predictions["label"], run.predictions["clean"]).value for run in runs}


def cell_of(run: evaluated_uap.EvaluatedUap) -> PromisedCell:
    """The cell of the demo's table that a run is."""
    return PromisedCell(run.classifier.name, run.uap.source, run.uap.attack)


def kind_of(cell: PromisedCell) -> PromisedCell:
    """Cells whose rates are of one range: DeepFool's two natural sources are."""
    return cell._replace(source="isic2018" if cell.source == "isic2018" else "natural")


def ranges(runs: List[evaluated_uap.EvaluatedUap],
           of_seed_0: List[evaluated_uap.EvaluatedUap]) -> Dict[PromisedCell, Range]:
    """The range of each cell over some runs: MARGIN points wider, but above seed 0's controls."""
    rates: Dict[PromisedCell, List[float]] = {}
    controls: Dict[PromisedCell, List[float]] = {}
    for run in runs:
        rates.setdefault(kind_of(cell_of(run)), []).append(100 * run.rate().value)
    for run in of_seed_0:
        controls.setdefault(kind_of(cell_of(run)), []).extend(
            100 * run.rate(name).value for name in CONTROLS)
    found = {}
    for cell in sorted({cell_of(run) for run in runs}):
        kind = kind_of(cell)
        above_controls = int(max(controls[kind])) + 1
        found[cell] = Range(max(above_controls, int(min(rates[kind])) - MARGIN),
                            min(100, int(max(rates[kind])) + 1 + MARGIN))
    return found


def runs_below(folder: str) -> List[evaluated_uap.EvaluatedUap]:
    """What evaluate.py left of the UAPs of a demo's folder."""
    return [evaluated_uap.read_evaluated(found)
            for found in evaluated_uap.find(os.path.join(folder, "results"))]


def main() -> None:
    parser = arguments.script_parser(__doc__)
    parser.add_argument("--seeds", type=arguments.count, default=10, help="(default: %(default)s)")
    parser.add_argument("--folder", default="demo-seeds", help="(default: %(default)s)")
    parser.add_argument("--also", nargs="*", default=[], metavar="FOLDER",
                        help="folders of finished demos of seed 0")
    args = parser.parse_args()
    good_accuracy, good_cells = 0, 0
    of_seed_0 = [run for folder in args.also for run in runs_below(folder)]
    of_all = list(of_seed_0)
    for seed in range(args.seeds):
        folder = run_demo(args.folder, seed)
        runs = runs_below(folder)
        of_all += runs
        of_seed_0 += [] if seed else runs
        scores = accuracies(runs)
        are_better = [each.beats_both for each in against_controls(runs)]
        good_accuracy += min(scores.values()) >= LEAST_ACCURACY
        good_cells += all(are_better)
        print(f"seed {seed}: test accuracy "
              f"{', '.join(f'{name} {share:.1%}' for name, share in scores.items())}; "
              f"{sum(are_better)} of {len(are_better)} UAPs fool more images than both controls; "
              f"{processor_seconds(folder):.0f} processor seconds", flush=True)
    write_csv(os.path.join(args.folder, "demo-check.csv"), PROMISE_COLUMNS,
              [cell + promised for cell, promised in ranges(of_all, of_seed_0).items()])
    print(f"70 % or more everywhere: {good_accuracy} of {args.seeds} seeds; all UAPs fool more "
          f"images than both controls: {good_cells} of {args.seeds}")


if __name__ == "__main__":
    run_script(main)
