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

import collections
import os
import pathlib
import sys

import numpy as np

from utils import arguments, classifier, device, json_files, rows, splits
from utils.datasets import write_csv
from utils.errors import UserError, run_script
from utils.files import hold_for_writing, sha256_of_file, sha256_of_lines, write_text
from utils.perturbation_file import load_perturbation
from utils.session import start_session


def parse_arguments():
    parser = arguments.script_parser(__doc__, "data-dir", "models-dir", "results-dir", "batch-size",
                                     "seed", "device")
    add = parser.add_argument
    add("--uap", metavar="FILE", help="evaluate this .npy file only; needs --model-file")
    add("--model-file", metavar="FILE", help="the model to attack with --uap")
    add("--norm", choices=("2", "inf"), default="inf",
        help="of a --uap without a run.json beside it (default: %(default)s)")
    add("--limit", type=arguments.count, help="use at most this many test images")
    add("--allow-mismatch", action="store_true",
        help="evaluate a UAP on another model than the one it was made for: a transfer experiment")
    add("--again", action="store_true", help="predict again even where the rows are up to date")
    add("--note", help="a sentence to print above the table and the report")
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
    from utils.report import report, table

    expected = table.read_rates(args.expect) if args.expect else None
    planned = rows_files(args, find_uaps(args))
    hold_for_writing(args.results_dir, "evaluation")
    outdated = [file for file in planned
                if args.again or not rows.up_to_date(file.folder, file.kind, file.inputs)]
    for name in sorted({file.model.name for file in outdated}):
        predict(args, [file for file in outdated if file.model.name == name])

    runs = [run for run in map(rows.read_run, rows.find(args.results_dir)) if is_current(args, run)]
    markdown = table.to_markdown(runs, args.note)
    write_csv(os.path.join(args.results_dir, "table.csv"), table.COLUMNS, table.csv_rows(runs))
    write_text(os.path.join(args.results_dir, "table.md"), markdown)
    path = report.write_report(args.results_dir, args.models_dir, runs, args.note,
                               lambda info, files: read_examples(args.data_dir, info, files))
    print(markdown, "wrote " + path, sep="\n")
    if expected is not None:
        check_expected(args, *table.compare(runs, expected, args.tolerance))


# A classifier, what its JSON file says, its test images (file, class name), the hashes of both.
Model = collections.namedtuple("Model", "name file info rows hashes")
# A UAP on a model: the .npy file, its run.json, the name of the network that it was made for, None
# where it is not known, and the folder of the rows.
Uap = collections.namedtuple("Uap", "model path run made_for folder")
# Rows: what they are computed from, and the .npy file of each column.
RowsFile = collections.namedtuple("RowsFile", "model folder kind inputs perturbations")

# What predictions.json repeats of the model's JSON file.
TRAINED = ("class_names", "image_size", "resize", "image_folder", "weights_from", "epochs")
DIGITS = 8  # of a SHA-256, where it tells names apart

# run.json of a UAP that has none.
UNKNOWN = {"model": {"name": None, "sha256": None, "scaling": classifier.SCALING}, "made_for": None,
           "attack": "unknown", "target": None, "images": {"used": None}, "passes": None,
           "steps": None, "snapshots": {}, "uap": {"sha256": None}, "identity": {}}


def asked_for(args):
    """The .npy file of each UAP, its run.json, and each model file that it is evaluated on."""
    mend = "make it again with make_uap.py"
    if args.uap:
        path = os.path.join(os.path.dirname(args.uap), "run.json")
        run = json_files.read_json(path, json_files.RUN, mend) if os.path.exists(path) else dict(
            UNKNOWN, source=classifier.model_name(args.uap),
            norm={"p": args.norm, "ratio": None, "bound": None})
        return [(args.uap, run, args.model_file)]
    found = []
    for path in sorted(pathlib.Path(args.results_dir).glob("[!.]*/[!.]*/run.json")):
        run = json_files.read_json(str(path), json_files.RUN, mend)
        found += [(str(path.with_name("uap.npy")), run, file)
                  for file in model_files(run, args.models_dir)]
    return found


def model_files(run, models_dir):
    """That of a run's own model; of a public network, those of its kind that were fine-tuned."""
    its = run["model"]
    if not run["made_for"]:
        return [os.path.join(models_dir, its["name"] + ".h5")]
    found = []
    for path in sorted(pathlib.Path(models_dir).glob("*.json")):
        if path.with_suffix(".h5").exists():
            info = json_files.read_json(str(path), json_files.MODEL, "train the model again")
            if (info["weights"]["sha256"] != its["sha256"]
                    and all(info[key] == its[key] for key in ("architecture", "image_size"))):
                found.append(str(path.with_suffix(".h5")))
    return found


def read_model(args, file):
    """The Model of a weights file. Raises UserError."""
    info = classifier.read_description(file)
    test = splits.limit_rows(classifier.read_split_side(file, info, "test"), args.limit, 0)
    return Model(classifier.model_name(file), file, info, test, {
        "model_sha256": info["weights"]["sha256"],
        "test_sha256": sha256_of_lines(",".join(row) for row in test)})


def origin(run, file, model):
    """The network that a UAP was made for: the model's name if it is that one with those weights.

    model: the Model of `file`, None where it is not there.
    """
    made_for, sha256 = run["made_for"] or run["model"]["name"], run["model"]["sha256"]
    if made_for == classifier.model_name(file) and model and (
            model.hashes["model_sha256"] != sha256):
        return "{}-{}".format(made_for, sha256[:DIGITS])
    return made_for


def folder_of_rows(args, path, run, made_for, file):
    """Where the rows of a UAP on a model go: beside it if it was made for this model. UserError."""
    folder, name = os.path.dirname(os.path.abspath(path)), classifier.model_name(file)
    its = os.path.join(args.results_dir, name)
    if made_for == name and os.path.dirname(folder) == os.path.abspath(its):
        return folder
    run_name = os.path.basename(folder) if made_for else run["source"]
    if made_for in (name, None):  # from anywhere: another file of this name is another UAP
        return os.path.join(its, "{}-{}".format(run_name, sha256_of_file(path)[:DIGITS]))
    if not (args.allow_mismatch or run["made_for"]):
        raise UserError("{}: made for {}, not for {}; make it again with make_uap.py, or give "
                        "--allow-mismatch to see whether it transfers".format(
                            path, "other weights" if run["model"]["name"] == name else
                            "the model " + made_for, file))
    return os.path.join(its, "{}-of-{}".format(run_name, made_for))


def find_uaps(args):
    """Every Uap to evaluate; rows whose model is not there are left as they are. UserError."""
    models, found = {}, []
    for path, run, file in asked_for(args):
        if file not in models:
            models[file] = read_model(args, file) if os.path.exists(file) else None
        made_for = origin(run, file, models[file])
        folder = folder_of_rows(args, path, run, made_for, file)
        if models[file] is not None:
            found.append(Uap(models[file], path, run, made_for, folder))
        elif rows.read_inputs(folder, "predictions") is not None:
            print("{}: not here; the rows in {} are taken as they are".format(file, folder))
        else:
            read_model(args, file)  # says what is missing
    if not found and not rows.find(args.results_dir):
        raise UserError("{}: no run found (looked for <model>/<run>/run.json); make a UAP with "
                        "make_uap.py".format(args.results_dir))
    return found


def is_current(args, run):
    """Whether the rows are of the model as it is now; says so where not, which only rows of a UAP
    from elsewhere are: the others were just made anew."""
    path = os.path.join(args.models_dir, run.info["model"] + ".json")
    if not os.path.exists(path):
        return True
    info = json_files.read_json(path, json_files.WEIGHTS, "train the model again")
    if info["weights"]["sha256"] == run.info["model_sha256"]:
        return True
    print("{}: left out, these rows are of other weights than those of {}".format(run.folder, path))
    return False


def rows_files(args, uaps):
    """Every RowsFile that there is to be. All that will be read is checked: UserError."""
    found = []
    for uap in uaps:
        check(args, uap)
        found.append(RowsFile(uap.model, uap.folder, "predictions",
                              dict(uap.model.hashes, **describe(args, uap)), {"uap": uap.path}))
        for kind, paths in (("curve", snapshots(uap)), ("transfer", elsewhere(uap, uaps))):
            columns = {name: sha256_of_file(path) for name, path in paths.items()}
            if columns:
                found.append(RowsFile(uap.model, uap.folder, kind,
                                      dict(uap.model.hashes, columns=columns), paths))
    return found


def check(args, uap):
    """Raise UserError unless a UAP and its snapshots are whole, in bounds, of the model's scaling.
    """
    info, norm, scaling = uap.model.info, uap.run["norm"], uap.run["model"]["scaling"]
    if scaling != classifier.SCALING:
        raise UserError("{}: made for inputs scaled as {}, this code scales as {}; make it again "
                        "with make_uap.py".format(
                            uap.path, scaling, classifier.SCALING))
    for path in [uap.path] + list(snapshots(uap).values()):
        load_perturbation(path, info["image_size"],
                          uap.run["uap"]["sha256"] if path == uap.path else None,
                          float(norm["p"]), norm["bound"])


def describe(args, uap):
    """What predictions.json says of a UAP and its model: all that table and report need."""
    run, norm, info = uap.run, uap.run["norm"], uap.model.info
    return dict(
        {key: run[key] for key in ("source", "attack", "target", "passes", "steps", "identity")},
        model=uap.model.name, made_for=uap.made_for, backbone=bool(run["made_for"]),
        run=os.path.basename(uap.folder), recipe=info["identity"].get("recipe"),
        uap_sha256=sha256_of_file(uap.path), images=run["images"]["used"], norm=norm["p"],
        norm_ratio=norm["ratio"], norm_bound=norm["bound"], seed=args.seed,
        snapshots={str(its["images"]): its["seconds"] for its in run["snapshots"].values()},
        **{key: info[key] for key in TRAINED})


def snapshots(uap):
    """The snapshots beside the rows of a run: dict from the images shown to the path of v."""
    shown = {its["images"]: os.path.join(uap.folder, "snapshots", name + ".npy")
             for name, its in sorted(uap.run["snapshots"].items()) if its["images"]}
    return {str(n): shown[n] for n in sorted(shown) if os.path.exists(shown[n])}


def elsewhere(uap, uaps):
    """The untargeted UAPs of the same run for the models like this one, with the same test images:
    dict from the model's name to the path."""
    def kind(its):
        return (os.path.basename(its.folder), its.model.info["image_size"],
                its.model.info["class_names"], its.model.hashes["test_sha256"])

    return {other.model.name: other.path for other in uaps
            if other.model is not uap.model and kind(other) == kind(uap)
            and other.run["target"] is None and not other.run["made_for"]}


def predict(args, files):
    """Write the rows of one model, which is loaded once, whole file by whole file."""
    device.choose(args.device)  # before Keras is imported, whose banner it keeps away
    from tqdm import tqdm

    from utils import prediction
    from utils.attack.graph import AttackGraph
    from utils.images import read_images
    from utils.provenance import environment, now

    model = files[0].model
    start_session(args.seed, inference=True)
    graph = AttackGraph(classifier.load_classifier(model.file, model.info))
    names, labels = zip(*model.rows)
    image_folder = os.path.join(args.data_dir, model.info["image_folder"])
    images = read_images([os.path.join(image_folder, name) for name in names],
                         model.info["image_size"], model.info["resize"], "reading test images")
    passes = sum(prediction.PASSES if file.kind == "predictions" else len(file.perturbations)
                 for file in files)
    with tqdm(unit="image", desc="evaluating " + model.name, total=passes * len(images)) as bar:
        predictor = prediction.Predictor(graph.logits, images, model.info["class_names"],
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


def read_examples(data_dir, info, files):
    """Test images for the report: uint8, (n, h, w, 3), or None when they are not at hand."""
    from utils.images import BrokenImage, read_image

    try:
        return np.stack([read_image(os.path.join(data_dir, info["image_folder"], file),
                                    info["image_size"], info["resize"]) for file in files])
    except BrokenImage:
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


if __name__ == "__main__":
    run_script(main)
