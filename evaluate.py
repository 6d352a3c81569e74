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
    """Read the command line, and end with a message where options do not belong together."""
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "results-dir", "batch-size",
                                     "seed", "device")
    add = parser.add_argument
    add("--uap", metavar="FILE|NAME", type=published_uaps.file_or_name,
        help="evaluate this .npy file only, or the UAP of this repository that has this name "
             "(python -m utils.evaluation.published_uaps lists them); needs --model-file")
    add("--model-file", metavar="FILE", help="the model that --uap is evaluated on")
    add("--uap-unit", choices=tuple(UNITS),
        help="the unit of the numbers in the file of --uap: model, this project's input units of "
             "128 grey levels; 255, grey levels; 1, shares of the range 0..1 (default: model)")
    add("--norm", type=arguments.norm, default=float("inf"), metavar="2|inf",
        help="the norm that bounds a --uap without a run.json beside it (default: %(default)s)")
    add("--norm-bound", type=arguments.positive, metavar="LEVELS",
        help="the bound of this norm, in grey levels; a --uap beyond it is refused (default: the "
             "bound in its run.json, else 0.04 times the mean norm of the training images, which "
             "it may exceed up to 3 times)")
    add("--limit", type=arguments.count, help="use at most this many test images")
    add("--allow-mismatch", action="store_true",
        help="evaluate --uap even on another model than the one that it was made for, as a "
             "transfer experiment")
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
        help="how far a rate may be from the one that --expect names (default: %(default)s)")
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
        allow_mismatch=args.allow_mismatch, note=args.note, promises_file=args.check,
        expected_rates_file=args.expect, tolerance=args.tolerance)


def main() -> None:
    """Bring all rows up to date, and write the table and the report that follow from them."""
    settings = parse_arguments()
    from utils.report import promises, table

    promised = expected = None
    if settings.promises_file:
        promised = promises.read_promises(settings.promises_file)
    if settings.expected_rates_file:
        expected = table.read_rates(settings.expected_rates_file)

    planned = plan_rows(settings, find_uaps(settings))
    lock_until_exit(settings.results_dir, "evaluation")
    to_do = find_work(settings, planned)
    # Before any work is done, so that a fault in them costs no work.
    kept = read_kept_rows(settings, planned, to_do)
    bring_up_to_date(settings, to_do)

    uaps = read_evaluated_uaps(settings.results_dir, kept, to_do)
    write_tables_and_report(settings, planned, uaps)
    if expected is not None:
        rates = table.compare(uaps, expected, settings.tolerance)
        require_expected_rates(settings, rates.compared, rates.deviations)
    if settings.promises_file and promised is not None:
        require_kept_promises(settings.promises_file, promises.check(uaps, promised))


def read_kept_rows(settings: EvaluationSettings, planned: Sequence[PlannedRows],
                   to_do: Sequence[RowsToDo]) -> Dict[str, EvaluatedUap]:
    """Read the rows in whose folders nothing is to be done. Raises UserError.

    Rows that were not planned, as of a UAP from elsewhere, may be of a classifier or of images that
    have changed since. These are named and left out.
    Returns a dict from each folder to what is in it.
    """
    folders_to_do = _folders(each.rows for each in to_do)
    planned_folders = _folders(planned)
    not_planned = RowsNotPlanned(settings.models_dir, settings.data_dir)
    kept = {}
    for folder in find(settings.results_dir):
        if os.path.abspath(folder) in folders_to_do:
            continue
        uap = read_evaluated(folder)
        is_planned = os.path.abspath(folder) in planned_folders
        fault = None if is_planned else not_planned.fault(uap)
        if fault:
            print(f"{printable(folder)}: left out, these rows are {printable(fault)}")
        else:
            kept[folder] = uap
    require_one_classifier_of_each_name(
        [(folder, uap.classifier) for folder, uap in kept.items()]
        + [(rows.folder, rows.classifier.attacked) for rows in planned])
    return kept


def read_evaluated_uaps(results_dir: str, kept: Dict[str, EvaluatedUap],
                        to_do: Sequence[RowsToDo]) -> List[EvaluatedUap]:
    """Return all UAPs in the order of their folders: those kept, and those now up to date."""
    done = _folders(each.rows for each in to_do)
    uaps = []
    for folder in find(results_dir):
        if folder in kept:
            uaps.append(kept[folder])
        elif os.path.abspath(folder) in done:
            uaps.append(read_evaluated(folder))
    return uaps


def _folders(planned: Iterable[PlannedRows]) -> Set[str]:
    return {os.path.abspath(rows.folder) for rows in planned}


def bring_up_to_date(settings: EvaluationSettings, to_do: Sequence[RowsToDo]) -> None:
    """Describe or predict rows, all those of one classifier together. Raises UserError."""
    for each in to_do:
        if each.work is Work.DESCRIBE:
            describe_rows(each.rows)
    to_predict = [each for each in to_do if each.work is not Work.DESCRIBE]
    for name in sorted({each.rows.classifier.name for each in to_predict}):
        predict_rows(settings, [each for each in to_predict if each.rows.classifier.name == name])


def write_tables_and_report(settings: EvaluationSettings, planned: Sequence[PlannedRows],
                            uaps: Sequence[EvaluatedUap]) -> None:
    """Write table.csv, table.md, the report and its pictures; print the table."""
    from utils.report import report, table

    images = ImagesOfRows(settings.data_dir, {rows.test_images.fingerprint for rows in planned})

    def read(uap: EvaluatedUap, files: Sequence[str]) -> Optional[np.ndarray]:
        if not images.are_at_hand(uap):
            return None
        return read_examples(settings.data_dir, uap.classifier, files)

    folder = settings.results_dir
    markdown = table.to_markdown(uaps, settings.note)
    write_csv(os.path.join(folder, "table.csv"), table.TABLE_COLUMNS, table.csv_rows(uaps))
    write_text(os.path.join(folder, "table.md"), markdown)
    path = report.write_report(folder, settings.models_dir, uaps, note=settings.note,
                               read_images=read)
    print(markdown, "wrote " + path, sep="\n")


class ImagesOfRows:
    """Tells whether the test images that rows are of are those below the data folder.

    compared: the fingerprints of those that have been found there already.
    """

    def __init__(self, data_dir: str, compared: Iterable[Optional[str]]) -> None:
        self._data_dir = data_dir
        self._known = dict.fromkeys(compared, True)  # by the fingerprint of the images

    def are_at_hand(self, uap: EvaluatedUap) -> bool:
        """Whether no image of a UAP's rows is missing or another than then.

        Rows of earlier versions have no fingerprint; any images of these names will do for them.
        """
        evaluated = uap.test_images_sha256
        if evaluated is None:
            return True
        if evaluated not in self._known:
            self._known[evaluated] = self._fingerprint_now(uap) == evaluated
        return self._known[evaluated]

    def _fingerprint_now(self, uap: EvaluatedUap) -> Optional[str]:
        from utils.images.fingerprint import fingerprint_of_images

        folder = os.path.join(self._data_dir, uap.classifier.image_folder)
        files = [str(file) for file in uap.predictions["file"]]
        try:
            now = fingerprint_of_images(folder, files)
        except UserError:  # one is absent, or the disk does not answer
            return None
        if now != uap.test_images_sha256:
            print(f"{printable(folder)}: other images than those that {uap.classifier.name} was "
                  "evaluated on; the report shows none of them")
        return now


def read_examples(data_dir: str, classifier: AttackedClassifier,
                  files: Sequence[str]) -> Optional[np.ndarray]:
    """Read test images for the report: uint8, (n, h, w, 3), or None when they are not at hand."""
    from utils.images.decoding import BrokenImage, read_image

    try:
        return np.stack([read_image(os.path.join(data_dir, classifier.image_folder, file),
                                    classifier.image_size, classifier.resize) for file in files])
    except (BrokenImage, UserError):  # absent, or the disk does not answer
        return None


def require_expected_rates(settings: EvaluationSettings, compared: int,
                           deviations: List[str]) -> None:
    """Say whether the rates are as expected; end with exit code 1 when one is further off.

    compared: the number of rates that were compared. deviations: a line about each of those that
    are further off than the tolerance. Raises UserError when none was compared.
    """
    if not compared:
        raise UserError(f"{settings.expected_rates_file}: none of its rates is of a run in "
                        f"{settings.results_dir}")
    print(f"{compared - len(deviations)} of {compared} rates are within {settings.tolerance:g} "
          f"points of those in {settings.expected_rates_file}")
    if deviations:
        print("\n".join(deviations), file=sys.stderr)
        sys.exit(1)


def require_kept_promises(path: str, verdict: Any) -> None:
    """Say whether the table shows what the file `path` promises; end with exit code 1 if not.

    verdict: of utils.report.promises.check.
    """
    passed = f"{len(verdict.broken)} promises are not kept:" if verdict.broken else "passed"
    print(f"check of {path}: {verdict.kept}; {passed}")
    if verdict.broken:
        print("\n".join(verdict.broken))
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
