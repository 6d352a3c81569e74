"""The rows that every number is computed from: one for each test image, three csv files for a run.

results/README.md says what each column is. Beside each csv file lies a JSON file of the same name:
what the rows were computed from.
"""

import os
import pathlib

import numpy as np

from utils.common.csv_files import read_csv, write_csv
from utils.common.errors import UserError
from utils.common.files import sha256_of_file
from utils.common.json_files import OBJECT, fields, read_json, write_json
from utils.common.success import is_fooled, is_targeted_success
from utils.evaluation import metrics

# The columns that must be there.
COLUMNS = {"predictions": ("file", "label", "clean", "uap", "uap_8bit", "jpeg95", "jpeg75",
                           "clean_jpeg75", "random", "permuted", "clean_confidence",
                           "uap_confidence"),
           "curve": ("file",), "transfer": ("file",)}
# What predictions.json says at least.
INFO = fields(identity=OBJECT, snapshots=OBJECT, norm={"enum": ["2", "inf"]}, **dict.fromkeys((
    "model", "made_for", "backbone", "source", "attack", "norm_ratio", "norm_bound", "target",
    "run", "images", "passes", "steps", "seed", "uap_sha256", "model_sha256", "test_sha256",
    "class_names", "image_size", "resize", "image_folder", "weights_from", "recipe", "epochs",
    "learning_rate", "batch_size"), {}))
MEND = "run evaluate.py --again"


class Run:
    """One UAP on one classifier, as evaluate.py left it.

    folder: of the rows. info: dict, what predictions.json says. predictions: dict from a column's
    name to its cells, an array of n str. curve: dict from the number of images shown, ascending, to
    the metrics.Rate of the snapshot. transfer: dict from the SHA-256 of another model's UAP to its
    Rate. Both are empty where there are none for the same model and images.
    """

    def __init__(self, folder, info, predictions, curve=(), transfer=()):
        self.folder, self.info, self.predictions = folder, info, predictions
        self.curve, self.transfer = (
            {key: metrics.rate(self._hits(columns[key])) for key in sorted(columns)}
            for columns in (curve, transfer))

    def __len__(self):
        return len(self.predictions["label"])

    def _hits(self, classes):
        clean, target = self.predictions["clean"], self.info["target"]
        if target is None:
            return is_fooled(clean, classes)
        return is_targeted_success(clean, classes, target)

    def hits(self, column="uap"):
        """Bool: on which test images a column of predictions is a success.

        Untargeted: the class differs from the clean one. Targeted: it is the target; the images
        that are predicted as the target anyway are left out.
        """
        return self._hits(self.predictions[column])

    def rate(self, column="uap"):
        """The metrics.Rate of these hits."""
        return metrics.rate(self.hits(column))


def write(folder, kind, columns, inputs, made):
    """Write the rows file `kind` of a run, and its JSON file.

    columns: dict from the column's name to its cells. inputs: dict of all that the rows depend on.
    made: dict of what else to know about them: when, with what.
    """
    path = os.path.join(folder, kind + ".csv")
    write_csv(path, columns, zip(*columns.values()))
    write_json(os.path.join(folder, kind + ".json"),
               dict(inputs, rows_sha256=sha256_of_file(path), made=made))


def read(folder, kind):
    """The rows file `kind` of a run: dict from a column to an array. Raises UserError."""
    rows = read_csv(os.path.join(folder, kind + ".csv"), COLUMNS[kind], MEND)
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def read_inputs(folder, kind):
    """What the rows depend on, as the JSON file says; None when there are no whole rows."""
    path, json_path = (os.path.join(folder, kind + end) for end in (".csv", ".json"))
    if not (os.path.exists(path) and os.path.exists(json_path)):
        return None
    stored = read_json(json_path, OBJECT, "delete it")
    stored.pop("made", None)
    return stored if stored.pop("rows_sha256", None) == sha256_of_file(path) else None


def up_to_date(folder, kind, inputs):
    """Whether there are whole rows of these inputs."""
    return read_inputs(folder, kind) == inputs


def find(results_dir):
    """The folders below a results folder that hold the rows of a run, sorted."""
    found = pathlib.Path(results_dir).glob("[!.]*/[!.]*/predictions.json")
    return [str(path.parent) for path in sorted(found)]


def read_run(folder):
    """Read what evaluate.py left in the folder of a run: a Run. Raises UserError."""
    json_path = os.path.join(folder, "predictions.json")
    info = read_json(json_path, INFO, MEND)
    if read_inputs(folder, "predictions") is None:
        raise UserError("{}: not of the rows beside it; {}".format(json_path, MEND))

    def columns_of(kind):
        """(column, SHA-256 of its perturbation, cells) of rows of the same model and images."""
        stored = read_inputs(folder, kind) or {}
        if all(stored.get(key) == info[key] for key in ("model_sha256", "test_sha256")):
            columns = read(folder, kind)
            for name, sha256 in stored["columns"].items():
                yield name, sha256, columns[name]

    return Run(folder, info, read(folder, "predictions"),
               {int(name): cells for name, _, cells in columns_of("curve")},
               {sha256: cells for _, sha256, cells in columns_of("transfer")})
