"""Which rows evaluate.py is to write: from the files of runs and models alone, no model is run."""

import collections
import os
import pathlib

from utils.attack import run_record
from utils.attack.perturbation_file import load_perturbation
from utils.classifier import architectures
from utils.classifier.description import (
    classifier_name,
    read_description,
    read_description_alone,
)
from utils.classifier.saved_classifier import read_split_side
from utils.common import json_files
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file, sha256_of_lines
from utils.evaluation import evaluated_uap, rows
from utils.images import splits

# A classifier, what its JSON file says, its test images (file, class name), the hashes of both.
Model = collections.namedtuple("Model", "name file info rows hashes")
# A UAP on a model: the .npy file, its run.json, the name of the network that it was made for, None
# where it is not known, and the folder of the rows.
Uap = collections.namedtuple("Uap", "model path run made_for folder")
# Rows: what they are computed from, and the .npy file of each column.
RowsFile = collections.namedtuple("RowsFile", "model folder kind inputs perturbations")

# What predictions.json repeats of the model's JSON file.
TRAINED = ("class_names", "image_size", "resize", "image_folder", "weights_from", "epochs")
CHOSEN = ("recipe", "learning_rate", "batch_size")  # of its identity
DIGITS = 8  # of a SHA-256, where it tells names apart

# run.json of a UAP that has none.
UNKNOWN = {"model": {"name": None, "sha256": None, "scaling": architectures.SCALING}, "made_for": None,
           "attack": "unknown", "target": None, "images": {"used": None}, "passes": None,
           "steps": None, "snapshots": {}, "uap": {"sha256": None}, "identity": {}}


def asked_for(args):
    """The .npy file of each UAP, its run.json, and each model file that it is evaluated on."""
    mend = "make it again with make_uap.py"
    if args.uap:
        path = os.path.join(os.path.dirname(args.uap), "run.json")
        run = json_files.read_json(path, run_record.SCHEMA, mend) if os.path.exists(path) else dict(
            UNKNOWN, source=classifier_name(args.uap),
            norm={"p": args.norm, "ratio": None, "bound": None})
        return [(args.uap, run, args.model_file)]
    found = []
    for path in sorted(pathlib.Path(args.results_dir).glob("[!.]*/[!.]*/run.json")):
        run = json_files.read_json(str(path), run_record.SCHEMA, mend)
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
            info = read_description_alone(str(path.with_suffix(".h5")))
            if (info.weights_sha256 != its["sha256"]
                    and info.architecture == its["architecture"]
                    and info.image_size == its["image_size"]):
                found.append(str(path.with_suffix(".h5")))
    if not found:
        print("{name}: no {architecture} of {image_size} px in {} to try it on".format(
            models_dir, **its))
    return found


def read_model(args, file):
    """The Model of a weights file. Raises UserError."""
    info = read_description(file)
    test = splits.limit_rows(read_split_side(info, "test"), args.limit, 0)
    return Model(classifier_name(file), file, info, test, {
        "model_sha256": info.weights_sha256,
        "test_sha256": sha256_of_lines(",".join(row) for row in test)})


def origin(run, file, model):
    """The network that a UAP was made for: the model's name if it is that one with those weights.

    model: the Model of `file`, None where it is not there.
    """
    made_for, sha256 = run["made_for"] or run["model"]["name"], run["model"]["sha256"]
    if made_for == classifier_name(file) and model is not None and (
            model.hashes["model_sha256"] != sha256):
        return "{}-{}".format(made_for, sha256[:DIGITS])
    return made_for


def folder_of_rows(args, path, run, made_for, file):
    """Where the rows of a UAP on a model go: beside it if it was made for this model. UserError."""
    folder, name = os.path.dirname(os.path.abspath(path)), classifier_name(file)
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
    if not found and not evaluated_uap.find(args.results_dir):
        raise UserError("{}: no run found (looked for <model>/<run>/run.json); make a UAP with "
                        "make_uap.py".format(args.results_dir))
    return found


def rows_files(args, uaps):
    """Every RowsFile that there is to be. All that will be read is checked: UserError."""
    found = []
    for uap in uaps:
        check(uap)
        found.append(RowsFile(uap.model, uap.folder, "predictions",
                              dict(uap.model.hashes, **describe(args, uap)), {"uap": uap.path}))
        for kind, paths in (("curve", snapshots(uap)), ("transfer", elsewhere(uap, uaps))):
            columns = {name: sha256_of_file(path) for name, path in paths.items()}
            if columns:
                found.append(RowsFile(uap.model, uap.folder, kind,
                                      dict(uap.model.hashes, columns=columns), paths))
    return found


def check(uap):
    """Raise UserError unless a UAP and its snapshots are whole, in bounds, of the model's scaling.
    """
    info, norm, scaling = uap.model.info, uap.run["norm"], uap.run["model"]["scaling"]
    if scaling != architectures.SCALING:
        raise UserError("{}: made for inputs scaled as {}, this code scales as {}; make it again "
                        "with make_uap.py".format(
                            uap.path, scaling, architectures.SCALING))
    for path in [uap.path] + list(snapshots(uap).values()):
        load_perturbation(path, info.image_size,
                          uap.run["uap"]["sha256"] if path == uap.path else None,
                          float(norm["p"]), norm["bound"])


def describe(args, uap):
    """What predictions.json says of a UAP and its model: all that table and report need."""
    run, norm, info = uap.run, uap.run["norm"], uap.model.info
    return dict(
        {key: run[key] for key in ("source", "attack", "target", "passes", "steps", "identity")},
        model=uap.model.name, made_for=uap.made_for, backbone=bool(run["made_for"]),
        run=os.path.basename(uap.folder), uap_sha256=sha256_of_file(uap.path),
        images=run["images"]["used"], norm=norm["p"],
        norm_ratio=norm["ratio"], norm_bound=norm["bound"], seed=args.seed,
        snapshots={str(its["images"]): its["seconds"] for its in run["snapshots"].values()},
        **{key: getattr(info, key) for key in TRAINED},
        **{key: info.identity.get(key) for key in CHOSEN})


def snapshots(uap):
    """The snapshots beside the rows of a run: dict from the images shown to the path of v."""
    shown = {its["images"]: os.path.join(uap.folder, "snapshots", name + ".npy")
             for name, its in sorted(uap.run["snapshots"].items()) if its["images"]}
    return {str(n): shown[n] for n in sorted(shown) if os.path.exists(shown[n])}


def elsewhere(uap, uaps):
    """The untargeted UAPs of the same run for the models like this one, with the same test images:
    dict from the model's name to the path."""
    def kind(its):
        return (os.path.basename(its.folder), its.model.info.image_size,
                its.model.info.class_names, its.model.hashes["test_sha256"])

    return {other.model.name: other.path for other in uaps
            if other.model is not uap.model and kind(other) == kind(uap)
            and other.run["target"] is None and not other.run["made_for"]}
