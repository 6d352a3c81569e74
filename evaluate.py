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
                              *.json           what these rows were computed from
        results/table.csv, results/table.md    our fooling rates beside the published ones
        results/report.md, results/report/     every number with its interval, and the pictures

A UAP made on a public network, before any fine-tuning, is evaluated on every model of that
architecture and input size. Rows that are up to date are kept: table, report and pictures are made
of them without any model.
"""

import os
import sys

import numpy as np

from utils.classifier import device
from utils.classifier.description import read_weights_sha256
from utils.classifier.saved_classifier import load_classifier
from utils.classifier.session import start_session
from utils.common import arguments
from utils.common.csv_files import write_csv
from utils.common.errors import UserError, run_script
from utils.common.locks import lock_until_exit
from utils.common.whole_files import write_text
from utils.evaluation import evaluated_uap, published_uaps, rows
from utils.evaluation.planned_rows import find_uaps, rows_files


def parse_arguments():
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "results-dir", "batch-size",
                                     "seed", "device")
    add = parser.add_argument
    add("--uap", metavar="FILE|NAME", type=published_uaps.file_or_name,
        help="evaluate this .npy file only, or the UAP of this repository that has this name "
             "(python -m utils.evaluation.published_uaps lists them); needs --model-file")
    add("--model-file", metavar="FILE", help="the model to attack with --uap")
    add("--norm", choices=("2", "inf"), default="inf",
        help="of a --uap without a run.json beside it (default: %(default)s)")
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
    return args


def main():
    args = parse_arguments()
    from utils.report import promises, report, table

    promised = promises.read_promises(args.check) if args.check else None
    expected = table.read_rates(args.expect) if args.expect else None
    planned = rows_files(args, find_uaps(args))
    lock_until_exit(args.results_dir, "evaluation")
    outdated = [file for file in planned
                if args.again or not rows.up_to_date(file.folder, file.kind, file.inputs)]
    for name in sorted({file.model.name for file in outdated}):
        predict(args, [file for file in outdated if file.model.name == name])

    runs = [run for run in map(evaluated_uap.read_evaluated, evaluated_uap.find(args.results_dir))
            if is_current(args, run)]
    markdown = table.to_markdown(runs, args.note)
    write_csv(os.path.join(args.results_dir, "table.csv"), table.COLUMNS, table.csv_rows(runs))
    write_text(os.path.join(args.results_dir, "table.md"), markdown)
    path = report.write_report(args.results_dir, args.models_dir, runs, args.note,
                               lambda classifier, files: read_examples(
                                   args.data_dir, classifier, files))
    print(markdown, "wrote " + path, sep="\n")
    if expected is not None:
        check_expected(args, *table.compare(runs, expected, args.tolerance))
    if promised is not None:
        say_verdict(args.check, promises.check(runs, promised))


def is_current(args, run):
    """Whether the rows are of the model as it is now; says so where not, which only rows of a UAP
    from elsewhere are: the others were just made anew."""
    path = os.path.join(args.models_dir, run.classifier.name + ".json")
    if not os.path.exists(path):
        return True
    if read_weights_sha256(path) == run.classifier.sha256:
        return True
    print("{}: left out, these rows are of other weights than those of {}".format(run.folder, path))
    return False


def predict(args, files):
    """Write the rows of one model, which is loaded once, whole file by whole file."""
    device.choose(args.device)  # before Keras is imported, whose banner it keeps away
    from tqdm import tqdm

    from utils.attack.gradients.graph import AttackGraph
    from utils.common.provenance import environment, now
    from utils.evaluation import prediction
    from utils.images.reading import read_images

    model = files[0].model
    start_session(args.seed, inference=True)
    graph = AttackGraph(load_classifier(model.info))
    names, labels = zip(*model.rows)
    image_folder = os.path.join(args.data_dir, model.info.image_folder)
    images = read_images([os.path.join(image_folder, name) for name in names],
                         model.info.image_size, model.info.resize, "reading test images")
    passes = sum(prediction.PASSES if file.kind == "predictions" else len(file.perturbations)
                 for file in files)
    with tqdm(unit="image", desc="evaluating " + model.name, total=passes * len(images)) as bar:
        predictor = prediction.Predictor(graph.logits, images, model.info.class_names,
                                         args.batch_size, bar.update)
        for file in files:
            columns = {"file": names}
            if file.kind == "predictions":
                columns.update(label=labels, **prediction.attack_columns(
                    predictor, file.inputs["uap_sha256"], np.load(file.perturbations["uap"]),
                    float(file.inputs["norm"]), args.seed))
            else:
                columns.update((name, predictor.once(sha256, np.load(file.perturbations[name]))[0])
                               for name, sha256 in file.inputs["columns"].items())
            rows.write(file.folder, file.kind, columns, file.inputs,
                       dict(environment(), finished=now()))


def read_examples(data_dir, classifier, files):
    """Test images for the report: uint8, (n, h, w, 3), or None when they are not at hand."""
    from utils.images.decoding import BrokenImage, read_image

    try:
        return np.stack([read_image(os.path.join(data_dir, classifier.image_folder, file),
                                    classifier.image_size, classifier.resize) for file in files])
    except (BrokenImage, UserError):  # absent, or the disk does not answer
        return None


def check_expected(args, compared, off):
    """Say whether the rates are as expected; end with exit code 1 when one is further off."""
    if not compared:
        raise UserError("{}: none of its rates is of a run in {}".format(
            args.expect, args.results_dir))
    print("{} of {} rates are within {:g} points of those in {}".format(
        compared - len(off), compared, args.tolerance, args.expect))
    if off:
        print("\n".join(off), file=sys.stderr)
        sys.exit(1)


def say_verdict(path, verdict):
    """Say whether what the file `path` promises was kept; end with exit code 1 where not."""
    print("check of {}: {}; {}".format(path, verdict.kept, "passed" if not verdict.broken else
                                       "{} promises are not kept:".format(len(verdict.broken))))
    if verdict.broken:
        print("\n".join(verdict.broken))
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
