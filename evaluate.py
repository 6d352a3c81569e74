"""Step 3: how often does each UAP change a diagnosis? Rows, then the table and the report.

    python evaluate.py                                                  every UAP under results/
    python evaluate.py --uap FILE --model-file models/VGG16.h5          one, from anywhere
    python evaluate.py --expect results/published.csv --tolerance 5     are the rates as expected?

reads   results/<model>/<run>/{uap.npy,snapshots/,run.json}, models/, data/isic2018/
writes  results/<model>/<run>/predictions.csv  one row for each test image: its label, and the class
                                               predicted clean, under the UAP, under the UAP in an
                                               image file, and under two random controls
                              curve.csv        the class predicted under each snapshot of the UAP
                              transfer.csv     and under the UAPs of the same run for other models
                              *.json           what these rows depend on, and what to say of them
        results/table.csv, results/table.md    our fooling rates beside the published ones
        results/report.md, results/report/     the verdict; every number with its interval, pictures
        results/report.html                    all of it in one file, to open in a browser

A UAP made on a public network, before any fine-tuning, is evaluated on every model of that
architecture and input size. Rows that are up to date are kept: table, report and pictures are made
of them without any model. Rows of fewer test images (--limit) never replace rows of more.
"""

import os
import sys
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set

import numpy as np

from utils.attack.perturbation_file import UNITS
from utils.common import arguments
from utils.common.csv_files import write_csv
from utils.common.errors import UserError, run_script
from utils.common.locks import lock_until_exit
from utils.common.terminal import printable
from utils.common.whole_files import write_text
from utils.evaluation import published_uaps
from utils.evaluation.evaluated_uap import (
    AttackedClassifier,
    EvaluatedUap,
    find,
    read_evaluated,
    require_one_classifier_of_each_name,
)
from utils.evaluation.predict_rows import describe_rows, predict_rows
from utils.evaluation.settings import EvaluationSettings, GivenUap
from utils.evaluation.up_to_date import RowsNotPlanned, RowsToDo, Work, find_work
from utils.evaluation.what_to_predict import PlannedRows, find_uaps, plan_rows


def parse_arguments() -> EvaluationSettings:
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "results-dir", "batch-size",
                                     "seed", "device")
    add = parser.add_argument
    add("--uap", metavar="FILE|NAME", type=published_uaps.file_or_name,
        help="evaluate this .npy file only, or the UAP of this repository that has this name "
             "(python -m utils.evaluation.published_uaps lists them); needs --model-file")
    add("--model-file", metavar="FILE", help="the model to attack with --uap")
    add("--uap-unit", choices=tuple(UNITS),
        help="what the file of --uap is in: model, this project's input units of 128 grey levels; "
             "255, grey levels; 1, shares of the range 0..1 (default: model)")
    add("--norm", type=arguments.norm, default=float("inf"), metavar="2|inf",
        help="of a --uap without a run.json beside it (default: %(default)s)")
    add("--norm-bound", type=arguments.positive, metavar="LEVELS",
        help="what this norm of --uap must keep, in grey levels; a UAP beyond it is refused "
             "(default: that of its run.json, else 0.04 of the mean norm of the training images, "
             "which it may exceed up to 3 times)")
    add("--limit", type=arguments.count, help="use at most this many test images")
    add("--allow-mismatch", action="store_true",
        help="evaluate a UAP on another model than the one it was made for: a transfer experiment")
    add("--again", action="store_true", help="predict again even where the rows are up to date")
    add("--note", help="a sentence to print above the table and the report")
    add("--check", metavar="FILE",
        help="a csv file of what the table must show, laid out as results/demo-check.csv: end with "
             "exit code 1 when a rate is outside its range, a UAP fools no more images than its "
             "controls, or a classifier knows less than 70 %% of its test images")
    add("--expect", metavar="FILE",
        help="a csv file of fooling rates in %%, laid out as results/published.csv: end with exit "
             "code 1 when one in the table is further off than --tolerance")
    add("--tolerance", type=arguments.positive, default=5.0, metavar="POINTS",
        help="of --expect (default: %(default)s)")
    args = parser.parse_args()
    if bool(args.uap) != bool(args.model_file):
        parser.error("--uap and --model-file belong together")
    if not args.uap and (args.uap_unit or args.norm_bound):
        parser.error("--uap-unit and --norm-bound are of a --uap")
    given = GivenUap(file=args.uap, model_file=args.model_file, norm=args.norm,
                     norm_bound=args.norm_bound, unit=args.uap_unit or "model")
    return EvaluationSettings(
        data_dir=args.data_dir, models_dir=args.models_dir, results_dir=args.results_dir,
        batch_size=args.batch_size, seed=args.seed, device=args.device,
        uap=given if args.uap else None, limit=args.limit, again=args.again,
        allow_mismatch=args.allow_mismatch, note=args.note, promises=args.check,
        expected_rates=args.expect, tolerance=args.tolerance)


def main() -> None:
    settings = parse_arguments()
    from utils.report import promises, table

    promised = promises.read_promises(settings.promises) if settings.promises else None
    expected = table.read_rates(settings.expected_rates) if settings.expected_rates else None

    planned = plan_rows(settings, find_uaps(settings))
    lock_until_exit(settings.results_dir, "evaluation")
    to_do = find_work(settings, planned)
    others = read_others(settings, planned, to_do)  # says what is wrong with them before any work
    do(settings, to_do)

    uaps = read_evaluated_uaps(settings.results_dir, others, to_do)
    write_tables_and_report(settings, uaps)
    if expected is not None:
        check_expected(settings, *table.compare(uaps, expected, settings.tolerance))
    if settings.promises and promised is not None:
        say_verdict(settings.promises, promises.check(uaps, promised))


def read_others(settings: EvaluationSettings, planned: Sequence[PlannedRows],
                to_do: Sequence[RowsToDo]) -> Dict[str, EvaluatedUap]:
    """Read the rows in whose folders nothing is to be done: by folder. Raises UserError.

    Rows that were not planned, as of a UAP from elsewhere, may be of a classifier or of images that
    have changed since. These are named and left out.
    """
    touched = _folders(file.rows for file in to_do)
    checked = _folders(planned)
    not_planned = RowsNotPlanned(settings.models_dir, settings.data_dir)
    others = {}
    for folder in find(settings.results_dir):
        if os.path.abspath(folder) in touched:
            continue
        uap = read_evaluated(folder)
        fault = None if os.path.abspath(folder) in checked else not_planned.fault(uap)
        if fault:
            print(f"{printable(folder)}: left out, these rows are {printable(fault)}")
        else:
            others[folder] = uap
    require_one_classifier_of_each_name(
        [(folder, uap.classifier) for folder, uap in others.items()]
        + [(file.folder, file.classifier.attacked) for file in planned])
    return others


def read_evaluated_uaps(results_dir: str, others: Dict[str, EvaluatedUap],
                        to_do: Sequence[RowsToDo]) -> List[EvaluatedUap]:
    """All rows in the order of their folders: the others, and those that are now up to date."""
    done = _folders(file.rows for file in to_do)
    uaps = []
    for folder in find(results_dir):
        if folder in others:
            uaps.append(others[folder])
        elif os.path.abspath(folder) in done:
            uaps.append(read_evaluated(folder))
    return uaps


def _folders(files: Iterable[PlannedRows]) -> Set[str]:
    return {os.path.abspath(file.folder) for file in files}


def do(settings: EvaluationSettings, to_do: Sequence[RowsToDo]) -> None:
    """Bring rows up to date, those of one classifier behind one another. Raises UserError."""
    for file in to_do:
        if file.work is Work.DESCRIBE:
            describe_rows(file.rows)
    predicted = [file for file in to_do if file.work is not Work.DESCRIBE]
    for name in sorted({file.rows.classifier.name for file in predicted}):
        predict_rows(settings, [file for file in predicted if file.rows.classifier.name == name])


def write_tables_and_report(settings: EvaluationSettings, uaps: Sequence[EvaluatedUap]) -> None:
    """Write table.csv, table.md, the report and its pictures; print the table."""
    from utils.report import report, table

    def read(classifier: AttackedClassifier, files: Sequence[str]) -> Optional[np.ndarray]:
        return read_examples(settings.data_dir, classifier, files)

    folder = settings.results_dir
    markdown = table.to_markdown(uaps, settings.note)
    write_csv(os.path.join(folder, "table.csv"), table.COLUMNS, table.csv_rows(uaps))
    write_text(os.path.join(folder, "table.md"), markdown)
    path = report.write_report(folder, settings.models_dir, uaps, settings.note, read)
    print(markdown, "wrote " + path, sep="\n")


def read_examples(data_dir: str, classifier: AttackedClassifier,
                  files: Sequence[str]) -> Optional[np.ndarray]:
    """Test images for the report: uint8, (n, h, w, 3), or None when they are not at hand."""
    from utils.images.decoding import BrokenImage, read_image

    try:
        return np.stack([read_image(os.path.join(data_dir, classifier.image_folder, file),
                                    classifier.image_size, classifier.resize) for file in files])
    except (BrokenImage, UserError):  # absent, or the disk does not answer
        return None


def check_expected(settings: EvaluationSettings, compared: int, off: List[str]) -> None:
    """Say whether the rates are as expected; end with exit code 1 when one is further off.

    compared: how many. off: a line about each that is.
    """
    if not compared:
        raise UserError(f"{settings.expected_rates}: none of its rates is of a run in "
                        f"{settings.results_dir}")
    print(f"{compared - len(off)} of {compared} rates are within {settings.tolerance:g} points of "
          f"those in {settings.expected_rates}")
    if off:
        print("\n".join(off), file=sys.stderr)
        sys.exit(1)


def say_verdict(path: str, verdict: Any) -> None:
    """Say whether what the file `path` promises was kept; end with exit code 1 where not."""
    passed = f"{len(verdict.broken)} promises are not kept:" if verdict.broken else "passed"
    print(f"check of {path}: {verdict.kept}; {passed}")
    if verdict.broken:
        print("\n".join(verdict.broken))
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
