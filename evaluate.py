"""Step 3: how often does each UAP change a diagnosis? Rows, then the table and the report.

    python evaluate.py                                                  every UAP under results/
    python evaluate.py --uap FILE --model-file models/VGG16.h5          one, from anywhere

reads   results/<model>/<run>/{uap.npy,snapshots/,log.csv,run.json}, models/, data/isic2018/
writes  results/<model>/<run>/predictions.csv  one row for each test image: its label, and the class
                                               predicted clean, under the UAP, under the UAP in an
                                               image file, and under two random controls
                              curve.csv        the class predicted under each snapshot of the UAP
                              transfer.csv     and under the UAPs of the same run for other models
                              *.json           what these rows were computed from
        results/table.csv, results/table.md    our fooling rates beside the published ones
        results/report.md, results/report/     every number with its interval, and the pictures

Rows that are up to date are kept: table, report and pictures are made of them without any model.
"""

import argparse
import collections
import glob
import os

from utils import arguments, device, rows
from utils.errors import UserError, run_script


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--uap", metavar="FILE", help="evaluate this .npy file only; needs --model-file")
    add("--model-file", metavar="FILE", help="the model to attack with --uap")
    add("--norm", choices=("2", "inf"), default="inf",
        help="of a --uap without a run.json beside it (default: %(default)s)")
    add("--data-dir", default="data", help="(default: %(default)s)")
    add("--models-dir", default="models", help="(default: %(default)s)")
    add("--results-dir", default="results", help="(default: %(default)s)")
    add("--limit", type=arguments.count, help="use at most this many test images")
    add("--batch-size", type=arguments.count, default=32, help="(default: %(default)s)")
    add("--seed", type=arguments.seed, default=0,
        help="of the random controls (default: %(default)s)")
    add("--device", choices=("auto", "cpu"), default="auto",
        help="auto: a GPU, if TensorFlow sees one (default: %(default)s)")
    add("--allow-mismatch", action="store_true",
        help="evaluate a UAP on another model than the one it was made for: a transfer experiment")
    add("--again", action="store_true", help="predict again even where the rows are up to date")
    add("--note", help="a sentence to print above the table and the report")
    args = parser.parse_args()
    if bool(args.uap) != bool(args.model_file):
        parser.error("--uap and --model-file belong together")
    return args


RUN_KEYS = ("model", "uap", "source", "attack", "norm", "target", "images", "passes")


def find_runs(args):
    """The runs to evaluate: a list of (folder, path of the UAP, run.json as dict, model file)."""
    from utils.classifier import model_name
    from utils.files import read_json

    mend = "make_uap.py writes it"
    if args.uap:
        target = model_name(args.model_file)
        folder = os.path.dirname(os.path.abspath(args.uap))
        beside = os.path.join(folder, "run.json")
        if os.path.exists(beside):
            run = read_json(beside, mend, RUN_KEYS)
            if run["model"]["name"] == target:
                return [(folder, args.uap, run, args.model_file)]
            if not args.allow_mismatch:
                raise UserError("{}: made for the model {}, not for {}; give --allow-mismatch to "
                                "see whether it transfers".format(
                                    args.uap, run["model"]["name"], target))
            name = "{}-of-{}".format(os.path.basename(folder), run["model"]["name"])
        else:
            name = os.path.splitext(os.path.basename(args.uap))[0]
            run = {"model": {"name": None, "sha256": None}, "source": name, "attack": "unknown",
                   "target": None, "norm": {"p": args.norm, "bound": None},
                   "images": {"used": None}, "passes": None, "uap": {"sha256": None}}
        return [(os.path.join(args.results_dir, target, name), args.uap, run, args.model_file)]
    runs = []
    pattern = os.path.join(glob.escape(args.results_dir), "*", "*", "run.json")
    for path in sorted(glob.glob(pattern)):
        run = read_json(path, mend, RUN_KEYS)
        folder = os.path.dirname(path)
        runs.append((folder, os.path.join(folder, "uap.npy"), run,
                     os.path.join(args.models_dir, run["model"]["name"] + ".h5")))
    if not runs:
        raise UserError("{}: no run found (looked for <model>/<run>/run.json); make a UAP with "
                        "make_uap.py".format(args.results_dir))
    return runs


# One model and its test images: rows are (file, class name), runs are Runs.
Model = collections.namedtuple("Model", "file name info rows runs")
# One UAP on it. info: what predictions.json is to say. uap: (SHA-256 of the file, v). pending: for
# each rows file that is not up to date, its inputs, and the perturbations for its columns.
Run = collections.namedtuple("Run", "folder info uap pending")
Pending = collections.namedtuple("Pending", "inputs perturbations")


def main():
    args = parse_arguments()
    from utils.report import report, table
    from utils.files import hold_for_writing, write_text

    published = table.read_published(
        os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "published.csv"))
    models = plan(args)
    hold_for_writing(args.results_dir, "evaluation")
    for model in models:
        if any(run.pending for run in model.runs):
            predict(args, model)

    evaluated = [rows.read_evaluated(os.path.dirname(path)) for path in sorted(glob.glob(
        os.path.join(glob.escape(args.results_dir), "*", "*", "predictions.json")))]
    found = table.arrange([table.summarise(e.rows, e.info) for e in evaluated], published)
    markdown = table.to_markdown(found, args.note)
    write_text(os.path.join(args.results_dir, "table.csv"), table.to_csv(found))
    write_text(os.path.join(args.results_dir, "table.md"), markdown)
    path = report.write_report(
        args.results_dir, args.models_dir, evaluated, published, args.note,
        lambda info, files: read_examples(args.data_dir, info, files))
    print(markdown)
    print("wrote {}".format(path))


def read_examples(data_dir, info, files):
    """Test images for the report: uint8, (n, h, w, 3), or None when they are not at hand."""
    import numpy as np

    from utils.images import BrokenImage, read_image

    folder = os.path.join(data_dir, info["image_folder"])
    try:
        return np.stack([read_image(os.path.join(folder, file), info["image_size"])
                         for file in files])
    except BrokenImage:
        return None


def plan(args):
    """Check everything that will be read, and find the rows that are not up to date.

    Returns a list of Models. Raises UserError before anything is written.
    """
    from utils import splits
    from utils.classifier import SCALING, model_name, read_description, read_split_side
    from utils.files import sha256_of_file, sha256_of_lines
    from utils.perturbation_file import load_perturbation

    models = collections.OrderedDict()
    for folder, uap_path, run, model_file in find_runs(args):
        if model_file not in models:
            model_info = read_description(model_file)
            models[model_file] = Model(
                model_file, model_name(model_file), model_info, splits.limit_rows(
                    read_split_side(model_file, model_info, "test"), args.limit, 0), [])
        model = models[model_file]
        made_for = run["model"]
        if not args.allow_mismatch and made_for["sha256"] not in (
                None, model.info["weights"]["sha256"]):
            raise UserError("{}: made for other weights than those in {}; make it again with "
                            "make_uap.py, or give --allow-mismatch".format(uap_path, model_file))
        if made_for.get("scaling", SCALING) != SCALING:
            raise UserError("{}: made for inputs scaled as {}, this code scales as {}; make it "
                            "again with make_uap.py".format(uap_path, made_for["scaling"], SCALING))
        p, bound = float(run["norm"]["p"]), run["norm"]["bound"]

        def load(path, expected_sha256=None):
            v = load_perturbation(path, model.info["image_size"], expected_sha256, p, bound)
            return sha256_of_file(path), v

        uap = load(uap_path, run["uap"]["sha256"])
        of_rows = {"model_sha256": model.info["weights"]["sha256"],
                   "test_sha256": sha256_of_lines(",".join(row) for row in model.rows)}
        info = dict(of_rows, **{
            "model": model.name, "made_for": run["model"]["name"], "uap_sha256": uap[0],
            "source": run["source"], "attack": run["attack"], "norm": run["norm"]["p"],
            "target": run["target"], "run": os.path.basename(folder),
            "images": run["images"]["used"], "passes": run["passes"], "norm_bound": bound,
            "class_names": model.info["class_names"], "image_size": model.info["image_size"],
            "image_folder": model.info["image_folder"], "seed": args.seed})
        pending = collections.OrderedDict()
        if args.again or rows.read_inputs(folder, "predictions") != info:
            pending["predictions"] = Pending(info, {})
        add_pending(args, pending, folder, "curve", of_rows, collections.OrderedDict(
            (str(shown), load(path)) for shown, path in rows.find_snapshots(folder).items()))
        model.runs.append(Run(folder, info, uap, pending))
    if not args.uap:
        add_transfers(args, list(models.values()))
    return list(models.values())


def add_pending(args, pending, folder, kind, of_rows, perturbations):
    """Note in `pending` what a rows file needs that has one column for each perturbation."""
    inputs = dict(of_rows, columns={name: sha256 for name, (sha256, _) in perturbations.items()})
    if perturbations and (args.again or rows.read_inputs(folder, kind) != inputs):
        pending[kind] = Pending(inputs, perturbations)


def add_transfers(args, models):
    """Let each model meet the untargeted UAPs of the same run for the others like it."""
    def like(model, other):
        return other is not model and all(
            other.info[key] == model.info[key] for key in ("image_size", "class_names"))

    for model in models:
        for run in model.runs:
            perturbations = collections.OrderedDict(
                (other.name, its.uap) for other in models if like(model, other)
                for its in other.runs
                if its.info["run"] == run.info["run"] and its.info["target"] is None)
            add_pending(args, run.pending, run.folder, "transfer",
                        {key: run.info[key] for key in ("model_sha256", "test_sha256")},
                        perturbations)


def predict(args, model):
    """Write the rows that are pending for one model, which is loaded once."""
    device.choose(args.device)
    from tqdm import tqdm

    from utils import classifier, prediction
    from utils.attack.graph import AttackGraph
    from utils.images import read_images
    from utils.provenance import environment, now

    classifier.start_session(args.seed, inference=True)
    graph = AttackGraph(classifier.load_classifier(model.file, model.info))
    image_folder = os.path.join(args.data_dir, model.info["image_folder"])
    images = read_images([os.path.join(image_folder, file) for file, _ in model.rows],
                         model.info["image_size"], "reading test images")
    pending = [(kind, its) for run in model.runs for kind, its in run.pending.items()]
    passes = sum(prediction.ATTACK_PASSES if kind == "predictions" else len(its.perturbations)
                 for kind, its in pending)
    if "predictions" in dict(pending):
        passes += prediction.CLEAN_PASSES
    bar = tqdm(total=passes * len(images), desc="evaluating " + model.name, unit="image")
    predictor = prediction.Predictor(graph.logits, images, model.info["class_names"],
                                     args.batch_size, bar.update)
    files, labels = zip(*model.rows)
    for run in model.runs:
        predictor.known = {}
        if not args.again:
            for kind in rows.COLUMNS:
                predictor.known.update(rows.known_columns(run.folder, kind, run.info))
        for kind, (inputs, perturbations) in run.pending.items():
            columns = collections.OrderedDict([("file", files)])
            if kind == "predictions":
                columns["label"] = labels
                columns.update(prediction.attack_columns(
                    predictor, *run.uap, float(run.info["norm"]), args.seed))
            for name, (sha256, v) in perturbations.items():
                columns[name] = predictor.under(sha256, v)
            rows.write(run.folder, kind, columns, inputs, dict(environment(), finished=now()))
    bar.close()


if __name__ == "__main__":
    run_script(main)
