"""The rows that every number is computed from: one for each test image, three files for a run.

predictions.csv  the class predicted clean, under the UAP, under the UAP in an image file, and under
                 the random controls, with two confidences
curve.csv        the class predicted under each snapshot of the UAP; a column is named by the number
                 of images that make_uap.py had been shown
transfer.csv     the class predicted under the UAP of the same run for another model; a column is
                 named by that model

Beside each lies a JSON file of the same name: what the rows were computed from.
"""

import csv
import functools
import os
import pathlib

import numpy as np

from utils import metrics
from utils.datasets import read_csv
from utils.files import replacing, sha256_of_file
from utils.json_files import OBJECT, fields, read_json, write_json

COLUMNS = {"predictions": ("file", "label", "clean", "uap", "uap_8bit", "jpeg95", "jpeg75",
                           "clean_jpeg75", "random", "permuted", "clean_confidence",
                           "uap_confidence"),
           "curve": ("file",), "transfer": ("file",)}  # those that must be there
INFO = fields(identity=OBJECT, snapshots=OBJECT, weights_from={})  # of predictions.json, at least
MEND = "run evaluate.py --again"


class Run:
    """One UAP on one classifier, as evaluate.py left it.

    folder: of the rows. info: dict, what predictions.json says. predictions: dict from a column's
    name to its cells, an array of n str. curve: dict from a number of images shown to the classes
    under the snapshot; transfer: dict from the SHA-256 of another model's UAP to the classes under
    it; both are empty where there are none for the same model and images.
    """

    def __init__(self, folder, info, predictions, curve=None, transfer=None):
        self.folder, self.info, self.predictions = folder, info, predictions
        self.curve, self.transfer = curve or {}, transfer or {}

    def __len__(self):
        return len(self.predictions["label"])

    def _hits(self, classes):
        clean, target = self.predictions["clean"], self.info["target"]
        return (metrics.fooled(clean, classes) if target is None
                else metrics.reached(clean, classes, target))

    def hits(self, column="uap"):
        """Bool: on which test images a column of predictions is a success.

        Untargeted: the class differs from the clean one. Targeted: it is the target; the images
        that are predicted as the target anyway are left out.
        """
        return self._hits(self.predictions[column])

    def rate(self, column="uap"):
        """The metrics.Rate of these hits."""
        return metrics.rate(self.hits(column))

    @functools.lru_cache(None)
    def snapshots(self):
        """The images shown, ascending, and the metrics.Rate on the test images at each."""
        shown = sorted(self.curve)
        return shown, [metrics.rate(self._hits(self.curve[n])) for n in shown]

    def transfer_rate(self, uap_sha256):
        """The Rate of the UAP of this SHA-256, made for another model; None: not evaluated."""
        classes = self.transfer.get(uap_sha256)
        return None if classes is None else metrics.rate(self._hits(classes))


def _paths(folder, kind):
    return [os.path.join(folder, kind + extension) for extension in (".csv", ".json")]


def write_csv(path, header, rows):
    """Write a csv file as UTF-8. header: the column names. rows: of cells, as many."""
    with replacing(path) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header] + list(rows))


def write(folder, kind, columns, inputs, made):
    """Write the rows file `kind` of a run, and its JSON file.

    columns: dict from the column's name to its cells. inputs: dict of all that the rows depend on.
    made: dict of what else to know about them: when, with what.
    """
    path, json_path = _paths(folder, kind)
    write_csv(path, columns, zip(*columns.values()))
    write_json(json_path, dict(inputs, rows_sha256=sha256_of_file(path), made=made))


def write_times(folder, snapshots):
    """Make predictions.json say the seconds of each snapshot, which its rows do not depend on."""
    path = _paths(folder, "predictions")[1]
    info = read_json(path, INFO, MEND)
    if info["snapshots"] != snapshots:
        write_json(path, dict(info, snapshots=snapshots))


def read(folder, kind):
    """The rows file `kind` of a run: dict from a column to an array. Raises UserError."""
    rows = read_csv(_paths(folder, kind)[0], COLUMNS[kind], MEND)
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}


def read_inputs(folder, kind):
    """What the JSON file says that the rows depend on, or None when there are no whole rows."""
    path, json_path = _paths(folder, kind)
    if not (os.path.exists(path) and os.path.exists(json_path)):
        return None
    stored = read_json(json_path, OBJECT, "delete it")
    for key in ("made", "snapshots"):
        stored.pop(key, None)
    return stored if stored.pop("rows_sha256", None) == sha256_of_file(path) else None


def up_to_date(folder, kind, inputs):
    """Whether there are whole rows of these inputs; the seconds of snapshots do not count."""
    return read_inputs(folder, kind) == {
        key: value for key, value in inputs.items() if key != "snapshots"}


def find(results_dir):
    """The folders below a results folder that hold the rows of a run, sorted."""
    found = pathlib.Path(results_dir).glob("[!.]*/[!.]*/predictions.json")
    return [str(path.parent) for path in sorted(found)]


def read_run(folder):
    """Read what evaluate.py left in the folder of a run: a Run. Raises UserError."""
    info = read_json(_paths(folder, "predictions")[1], INFO, MEND)
    info.setdefault("resize", "bilinear")  # of rows from before there was a choice

    def classes_under(kind):
        """Dict from a column to (the SHA-256 of its perturbation, its cells)."""
        stored = read_inputs(folder, kind)
        if not stored or any(stored.get(key) != info[key]
                             for key in ("model_sha256", "test_sha256")):
            return {}
        columns = read(folder, kind)
        return {name: (sha256, columns[name]) for name, sha256 in stored["columns"].items()}

    return Run(folder, info, read(folder, "predictions"),
               {int(name): its for name, (_, its) in classes_under("curve").items()},
               dict(classes_under("transfer").values()))
