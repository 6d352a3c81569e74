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
import glob
import os
import sys

import numpy as np

from utils import arguments, classifier, device, json_files, rows, splits
from utils.errors import UserError, run_script
from utils.files import hold_for_writing, sha256_of_file, sha256_of_lines, write_text
from utils.perturbation_file import load_perturbation


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
    attacked = attacked_models(args)
    plans = [(model, outdated_rows(args, model, uaps, attacked)) for model, uaps in attacked]
    hold_for_writing(args.results_dir, "evaluation")
    for model, files in plans:
        if files:
            predict(args, model, files)

    runs = [rows.read_run(folder) for folder in rows.find(args.results_dir)]
    markdown = table.to_markdown(runs, args.note)
    rows.write_csv(os.path.join(args.results_dir, "table.csv"), table.COLUMNS,
                   table.csv_rows(runs))
    write_text(os.path.join(args.results_dir, "table.md"), markdown)
    path = report.write_report(args.results_dir, args.models_dir, runs, args.note,
                               lambda info, files: read_examples(args.data_dir, info, files))
    print(markdown, "wrote " + path, sep="\n")
    if expected is not None:
        check_expected(args, *table.compare(runs, expected, args.tolerance))


# A classifier and its test images. info: what its JSON file says. rows: lists (file, class name).
Model = collections.namedtuple("Model", "file name info rows")
# A UAP to evaluate on a model. folder: of its rows. path: of the .npy file. run: its run.json.
Uap = collections.namedtuple("Uap", "folder path run")
# Rows to predict. inputs: what they are computed from. perturbations: OrderedDict from a column to
# the path of its .npy file.
RowsFile = collections.namedtuple("RowsFile", "folder kind inputs perturbations")


def attacked_models(args):
    """What is evaluated: a list of (Model, list of Uap).

    A run whose model is not there is left as it is when it has rows. Raises UserError.
    """
    found = collections.OrderedDict()
    for uap, file in [one_uap(args)] if args.uap else all_uaps(args):
        if os.path.exists(file) or rows.read_inputs(uap.folder, "predictions") is None:
            found.setdefault(file, []).append(uap)
        else:
            print("{}: not here; the rows in {} are taken as they are".format(file, uap.folder))
    if not found and not rows.find(args.results_dir):
        raise UserError("{}: no run found (looked for <model>/<run>/run.json); make a UAP with "
                        "make_uap.py".format(args.results_dir))
    infos = {file: classifier.read_description(file) for file in found}
    return [(Model(file, classifier.model_name(file), infos[file], splits.limit_rows(
        classifier.read_split_side(file, infos[file], "test"), args.limit, 0)), uaps)
            for file, uaps in found.items()]


def read_run_json(path):
    return json_files.read_json(path, json_files.RUN, "make it again with make_uap.py")


def all_uaps(args):
    """Every run below the results folder, with the model file or files it is evaluated on."""
    for path in sorted(glob.glob(os.path.join(
            glob.escape(args.results_dir), "*", "*", "run.json"))):
        run, folder = read_run_json(path), os.path.dirname(path)
        uap_path = os.path.join(folder, "uap.npy")
        if not run.get("made_for"):
            yield (Uap(folder, uap_path, run),
                   os.path.join(args.models_dir, run["model"]["name"] + ".h5"))
            continue
        for path in sorted(glob.glob(os.path.join(glob.escape(args.models_dir), "*.json"))):
            info = json_files.read_json(path, json_files.MODEL, "train the model again")
            if (all(info[key] == run["model"][key] for key in ("architecture", "image_size"))
                    and info["weights"]["sha256"] != run["model"]["sha256"]):  # not fine-tuned
                file = os.path.splitext(path)[0] + ".h5"
                yield Uap(transfer_folder(args, file, folder, run["made_for"]), uap_path, run), file


def transfer_folder(args, model_file, folder, made_for):
    """Where the rows of a UAP go that was made for another network than it is evaluated on."""
    return os.path.join(args.results_dir, classifier.model_name(model_file),
                        "{}-of-{}".format(os.path.basename(folder), made_for))


def one_uap(args):
    """The UAP that --uap names, and its model file. Raises UserError."""
    name, target = (classifier.model_name(file) for file in (args.uap, args.model_file))
    folder = os.path.dirname(os.path.abspath(args.uap))
    if not os.path.exists(os.path.join(folder, "run.json")):
        return Uap(os.path.join(args.results_dir, target, name), args.uap, {
            "model": {"name": None, "sha256": None}, "source": name, "attack": "unknown",
            "target": None, "norm": {"p": args.norm, "bound": None}, "images": {"used": None},
            "passes": None, "uap": {"sha256": None}, "identity": {}, "steps": None,
            "snapshots": {}}), args.model_file
    run = read_run_json(os.path.join(folder, "run.json"))
    made_for = run.get("made_for") or run["model"]["name"]
    if made_for != target:
        if not (args.allow_mismatch or run.get("made_for")):
            raise UserError("{}: made for the model {}, not for {}; give --allow-mismatch to see "
                            "whether it transfers".format(args.uap, made_for, target))
        folder = transfer_folder(args, args.model_file, folder, made_for)
    return Uap(folder, args.uap, run), args.model_file


def outdated_rows(args, model, uaps, attacked):
    """The RowsFiles of one model to write: those that are not what they would be now.

    attacked: as attacked_models gives it. Everything that will be read is checked: UserError.
    """
    found = []
    of_rows = {"model_sha256": model.info["weights"]["sha256"],
               "test_sha256": sha256_of_lines(",".join(row) for row in model.rows)}
    for uap in uaps:
        check(args, model, uap)
        found.append(RowsFile(uap.folder, "predictions", dict(
            of_rows, **describe(args, model, uap)), {"uap": uap.path}))
        for kind, paths in (("curve", snapshots(uap)),
                            ("transfer", same_run_elsewhere(model, uap, attacked))):
            if paths:
                found.append(RowsFile(uap.folder, kind, dict(of_rows, columns={
                    name: sha256_of_file(path) for name, path in paths.items()}), paths))
    return [file for file in found
            if args.again or rows.read_inputs(file.folder, file.kind) != file.inputs]


def check(args, model, uap):
    """Raise UserError unless a UAP and its snapshots are whole, in bounds, made for this model."""
    made_for, norm = uap.run["model"], uap.run["norm"]
    if not (args.allow_mismatch or uap.run.get("made_for")) and made_for["sha256"] not in (
            None, model.info["weights"]["sha256"]):
        raise UserError("{}: made for other weights than those in {}; make it again with "
                        "make_uap.py, or give --allow-mismatch".format(uap.path, model.file))
    scaling = made_for.get("scaling", classifier.SCALING)
    if scaling != classifier.SCALING:
        raise UserError("{}: made for inputs scaled as {}, this code scales as {}; make it again "
                        "with make_uap.py".format(uap.path, scaling, classifier.SCALING))
    for path in [uap.path] + list(snapshots(uap).values()):
        load_perturbation(path, model.info["image_size"],
                          uap.run["uap"]["sha256"] if path == uap.path else None,
                          float(norm["p"]), norm["bound"])


def describe(args, model, uap):
    """What predictions.json says of a UAP and its model: all that table and report need."""
    run, norm = uap.run, uap.run["norm"]
    return dict(
        {key: run[key] for key in ("source", "attack", "target", "passes", "steps", "identity")},
        model=model.name, made_for=run.get("made_for") or run["model"]["name"],
        backbone=bool(run.get("made_for")), run=os.path.basename(uap.folder),
        uap_sha256=sha256_of_file(uap.path), images=run["images"]["used"], norm=norm["p"],
        norm_ratio=norm.get("ratio"), norm_bound=norm["bound"], seed=args.seed,
        snapshots={str(its["images"]): its["seconds"] for its in run["snapshots"].values()},
        **{key: model.info.get(key) for key in (
            "class_names", "image_size", "resize", "image_folder", "weights_from")})


def snapshots(uap):
    """The snapshots beside the rows of a run: OrderedDict from the images shown to the path of v.
    """
    shown = {its["images"]: os.path.join(uap.folder, "snapshots", name + ".npy")
             for name, its in sorted(uap.run["snapshots"].items()) if its["images"]}
    return collections.OrderedDict(
        (str(n), shown[n]) for n in sorted(shown) if os.path.exists(shown[n]))


def same_run_elsewhere(model, uap, attacked):
    """The untargeted UAPs of the same run for the models like this one: OrderedDict to paths."""
    return collections.OrderedDict(
        (other.name, its.path) for other, uaps in attacked for its in uaps
        if other is not model and its.run["target"] is None and not its.run.get("made_for")
        and os.path.basename(its.folder) == os.path.basename(uap.folder)
        and all(other.info[key] == model.info[key] for key in ("image_size", "class_names")))


def predict(args, model, files):
    """Write the rows of one model, which is loaded once, whole file by whole file."""
    device.choose(args.device)  # before Keras is imported, whose banner it keeps away
    from tqdm import tqdm

    from utils import prediction
    from utils.attack.graph import AttackGraph
    from utils.images import read_images
    from utils.provenance import environment, now

    classifier.start_session(args.seed, inference=True)
    graph = AttackGraph(classifier.load_classifier(model.file, model.info))
    image_folder = os.path.join(args.data_dir, model.info["image_folder"])
    names, labels = zip(*model.rows)
    images = read_images([os.path.join(image_folder, name) for name in names],
                         model.info["image_size"], model.info["resize"], "reading test images")
    with tqdm(unit="image", desc="evaluating " + model.name,
              total=len(images) * prediction.passes_over_images(files)) as bar:
        predictor = prediction.Predictor(graph.logits, images, model.info["class_names"],
                                         args.batch_size, bar.update)
        for file in files:
            columns = collections.OrderedDict([("file", names)])
            if file.kind == "predictions":
                columns["label"] = labels
                columns.update(prediction.attack_columns(
                    predictor, file.inputs["uap_sha256"], np.load(file.perturbations["uap"]),
                    float(file.inputs["norm"]), args.seed))
            else:
                for name, path in file.perturbations.items():
                    columns[name] = predictor.once(
                        file.inputs["columns"][name], np.load(path)).classes
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
