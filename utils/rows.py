"""The rows that every number is computed from: one for each test image, three files for a run.

predictions.csv  the class predicted clean, under the UAP, under the UAP in an image file, and under
                 the random controls, with two confidences
curve.csv        the class predicted under each snapshot of the UAP; a column is named by the number
                 of images that make_uap.py had been shown
transfer.csv     the class predicted under the UAP of the same run for another model; a column is
                 named by that model

Beside each lies a JSON file of the same name: what the rows were computed from.
"""

import collections
import csv
import functools
import glob
import io
import os

import numpy as np

from utils import metrics
from utils.datasets import read_csv
from utils.files import sha256_of_file, write_text
from utils.json_files import OBJECT, fields, read_json, write_json

CLASS_COLUMNS = ("label", "clean", "uap", "uap_8bit", "jpeg95", "jpeg75", "clean_jpeg75", "random",
                 "permuted")
COLUMNS = {"predictions": ("file",) + CLASS_COLUMNS + ("clean_confidence", "uap_confidence"),
           "curve": ("file",), "transfer": ("file",)}  # those that must be there
INFO = fields(identity=OBJECT, snapshots=OBJECT, weights_from={})  # of predictions.json, at least
SAME_IMAGES = ("model_sha256", "test_sha256")  # rows of one model and one list of test images


class Run:
    """One UAP on one classifier, as evaluate.py left it.

    folder: of the rows. info: dict, what predictions.json says. predictions, curve, transfer: dicts
    from a column's name to its cells, arrays of n str; curve and transfer are empty where there are
    none for the same model and images. transferred: dict from a model, a column of transfer, to the
    SHA-256 of its UAP's file.
    """

    def __init__(self, folder, info, predictions, curve=(), transfer=(), transferred=()):
        self.folder, self.info, self.predictions = folder, info, predictions
        self.curve, self.transfer = dict(curve), dict(transfer)
        self.transferred = dict(transferred)

    def __len__(self):
        return len(self.predictions["label"])

    def hits(self, column="uap", rows=None):
        """Bool: on which test images a column of predictions, or of other rows, is a success.

        Untargeted: the class differs from the clean one. Targeted: it is the target; the images
        that are predicted as the target anyway are left out.
        """
        classes = (self.predictions if rows is None else rows)[column]
        clean, target = self.predictions["clean"], self.info["target"]
        return (metrics.fooled(clean, classes) if target is None
                else metrics.reached(clean, classes, target))

    def rate(self, column="uap", rows=None):
        """The metrics.Rate of these hits."""
        return metrics.rate(self.hits(column, rows))

    @functools.lru_cache(None)
    def snapshots(self):
        """The images shown, ascending, and the metrics.Rate on the test images at each."""
        shown = sorted(int(name) for name in self.curve if name != "file")
        return shown, [self.rate(str(n), self.curve) for n in shown]

    def transfer_rate(self, made_for, uap_sha256):
        """The Rate of the UAP of this SHA-256, made for another model; None: not evaluated."""
        return (self.rate(made_for, self.transfer)
                if self.transferred.get(made_for) == uap_sha256 else None)


def _paths(folder, kind):
    return [os.path.join(folder, kind + extension) for extension in (".csv", ".json")]


def write(folder, kind, columns, inputs, made):
    """Write the rows file `kind` of a run, and its JSON file.

    columns: OrderedDict from the column's name to its cells. inputs: dict of all that the rows
    depend on. made: dict of what else to know about them: when, with what.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    path, json_path = _paths(folder, kind)
    write_text(path, text.getvalue())
    write_json(json_path, dict(inputs, rows_sha256=sha256_of_file(path), made=made))


def read(folder, kind):
    """The rows file `kind` of a run: OrderedDict from a column to an array. Raises UserError."""
    rows = read_csv(_paths(folder, kind)[0], COLUMNS[kind], "run evaluate.py --again")
    return collections.OrderedDict(
        (name, np.array([row[name] for row in rows])) for name in (rows[0] if rows else ()))


def read_inputs(folder, kind):
    """What the JSON file says that the rows depend on, or None when there are no whole rows.

    Rows are up to date when this is what they would be computed from now.
    """
    path, json_path = _paths(folder, kind)
    if not (os.path.exists(path) and os.path.exists(json_path)):
        return None
    stored = read_json(json_path, OBJECT, "delete it")
    stored.pop("made", None)
    return stored if stored.pop("rows_sha256", None) == sha256_of_file(path) else None


def find(results_dir):
    """The folders below a results folder that hold the rows of a run, sorted."""
    found = glob.glob(os.path.join(glob.escape(results_dir), "*", "*", "predictions.json"))
    return sorted(map(os.path.dirname, found), key=lambda folder: folder.split(os.sep))


def read_run(folder):
    """Read what evaluate.py left in the folder of a run: a Run. Raises UserError."""
    info = read_json(_paths(folder, "predictions")[1], INFO, "run evaluate.py --again")
    more, columns = {}, {}
    for kind in ("curve", "transfer"):
        stored = read_inputs(folder, kind)
        if stored and all(stored.get(key) == info[key] for key in SAME_IMAGES):
            more[kind], columns[kind] = read(folder, kind), stored["columns"]
    return Run(folder, info, read(folder, "predictions"),
               transferred=columns.get("transfer", ()), **more)
