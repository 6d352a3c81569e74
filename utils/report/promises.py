"""What a table of UAPs promises, and whether it holds: a check that can fail.

A promise is a range for the fooling rate of one cell: one model, one source, one attack. It holds
when the rate lies in it. Together with the promised cells goes what makes them mean anything:
classifiers that know their test images, and UAPs that fool more of them than either control does,
which is tested image by image. How often the controls fool is promised nowhere: trainings of one
command on two machines differ in it by more than a range could hold.
"""

from typing import Dict, List, NamedTuple, Sequence

from utils.common.csv_files import read_csv
from utils.common.errors import UserError
from utils.evaluation import metrics
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.report.numbers import against_controls
from utils.report.study_table import study_tables

LEAST_ACCURACY = 0.7  # of each classifier, share of the clean test images
PROMISE_COLUMNS = ("model", "source", "attack", "lowest", "highest")


class PromisedCell(NamedTuple):
    """Which UAP is meant."""

    model: str
    source: str
    attack: str


class Range(NamedTuple):
    """The lowest and the highest fooling rate that a cell may have, in %."""

    lowest: float
    highest: float


class Verdict(NamedTuple):
    """What a check found. kept: one sentence. broken: a line for each promise that does not hold.
    """

    kept: str
    broken: List[str]


def read_promises(path: str) -> Dict[PromisedCell, Range]:
    """Read a csv file of PROMISE_COLUMNS: the range of fooling rates, in %, of each promised cell.

    Raises UserError where there is none, where two are of one cell, or where a range is none.
    """
    mend = "restore it from git, or make it with tests/demo_over_seeds.py"
    promises = {}
    for row in read_csv(path, PROMISE_COLUMNS, mend):
        cell = PromisedCell(row["model"], row["source"], row["attack"])
        try:
            promised = Range(float(row["lowest"]), float(row["highest"]))
        except (TypeError, ValueError):
            promised = Range(1, 0)
        if not 0 < promised.lowest < promised.highest <= 100:
            raise UserError(f"{path}: {'/'.join(cell)}: from {row['lowest']!r} to "
                            f"{row['highest']!r}; expected two rates in %, the lower one first "
                            f"and above 0; {mend}")
        if cell in promises:
            raise UserError(f"{path}: {'/'.join(cell)} stands twice; {mend}")
        promises[cell] = promised
    if not promises:
        raise UserError(f"{path}: no rows; {mend}")
    return promises


def check(runs: Sequence[EvaluatedUap], promises: Dict[PromisedCell, Range]) -> Verdict:
    """Check whether evaluated UAPs are as promised.

    runs: of which those count that stand for the promised cells: of several with an L-infinity
    bound in one cell, that with the settings nearest to the published ones. A UAP fools more than
    both controls when p is at most 0.05 for each (McNemar's exact test, paired by image),
    corrected by Holm's method for all tests of the check.
    """
    evaluated = {PromisedCell(key.model, key.source, study_table.attack): run
                 for study_table in study_tables([run for run in runs if run.uap.norm == "inf"])
                 for key, run in study_table.runs.items()}
    promised_runs = {cell: evaluated[cell] for cell in promises if cell in evaluated}
    broken = [f"{'/'.join(cell)}: no such UAP was evaluated" for cell in promises
              if cell not in evaluated]

    accuracies = _accuracies(promised_runs)
    broken += [f"{model}: test accuracy {100 * accuracy:.1f} %, promised: at least "
               f"{100 * LEAST_ACCURACY:g} %" for model, accuracy in accuracies.items()
               if not accuracy >= LEAST_ACCURACY]
    are_better = [each.beats_both for each in against_controls(list(promised_runs.values()))]
    broken += [f"{'/'.join(cell)}: does not fool more images than both controls (p at most 0.05, "
               f"corrected by Holm's method)" for cell, is_better in zip(promised_runs, are_better)
               if not is_better]
    for cell, run in promised_runs.items():
        rate, promised = 100 * run.rate().value, promises[cell]
        if not promised.lowest <= rate <= promised.highest:
            broken.append(f"{'/'.join(cell)}: fools {rate:.1f} %, promised: {promised.lowest:g} to "
                          f"{promised.highest:g} %")
    lowest = min(accuracies.values(), default=0)
    return Verdict(
        f"{sum(are_better)} of {len(promises)} UAPs fool more images than both controls, every "
        f"classifier has at least {100 * lowest:.1f} % test accuracy", broken)


def _accuracies(runs: Dict[PromisedCell, EvaluatedUap]) -> Dict[str, float]:
    """The clean test accuracy of each model, 0..1."""
    return {cell.model: metrics.accuracy(run.predictions["label"], run.predictions["clean"]).value
            for cell, run in runs.items()}

