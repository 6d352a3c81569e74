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
import io
import os
import re

from utils.datasets import read_csv
from utils.errors import UserError
from utils.files import read_json, sha256_of_file, write_json, write_text

CLASS_COLUMNS = ("label", "clean", "uap", "uap_8bit", "jpeg95", "jpeg75", "clean_jpeg75", "random",
                 "permuted")
CONFIDENCE_COLUMNS = ("clean_confidence", "uap_confidence")
COLUMNS = {"predictions": ("file",) + CLASS_COLUMNS + CONFIDENCE_COLUMNS, "curve": ("file",),
           "transfer": ("file",)}  # those that must be there

# What was evaluated: the folder of a run, predictions.json, and the rows of the three files, as
# lists of dicts; curve and transfer are empty when there are none for the same model and images.
# transferred: dict from a model, a column of transfer.csv, to the SHA-256 of its UAP's file.
Evaluated = collections.namedtuple("Evaluated", "folder info rows curve transfer transferred")


def _path(folder, kind, extension):
    return os.path.join(folder, kind + extension)


def write(folder, kind, columns, inputs, made):
    """Write the rows file `kind` of a run, and its JSON file.

    columns: OrderedDict from the column's name to its cells. inputs: dict of all that the rows
    depend on. made: dict of what else to know about them: when, with what.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values()))
    path = _path(folder, kind, ".csv")
    write_text(path, text.getvalue())
    write_json(_path(folder, kind, ".json"),
               dict(inputs, rows_sha256=sha256_of_file(path), made=made))


def read(folder, kind):
    """The rows of the file `kind` of a run: a list of dicts. Raises UserError."""
    return _read(folder, kind, COLUMNS[kind])


def _read(folder, kind, columns):
    return read_csv(_path(folder, kind, ".csv"), columns, "run evaluate.py --again")


def read_inputs(folder, kind):
    """What the JSON file says that the rows depend on, or None when there are no whole rows."""
    path, rows_path = _path(folder, kind, ".json"), _path(folder, kind, ".csv")
    if not (os.path.exists(path) and os.path.exists(rows_path)):
        return None
    stored = read_json(path, "delete it")
    if stored.pop("rows_sha256", None) != sha256_of_file(rows_path):
        return None
    stored.pop("made", None)
    return stored


def known_columns(folder, kind, inputs):
    """Columns that need not be predicted again: dict from a perturbation's SHA-256 to its cells.

    inputs: as they are now; only rows of the same model and images count.
    """
    stored = read_inputs(folder, kind)
    if stored is None or not _same(stored, inputs, ("model_sha256", "test_sha256")):
        return {}
    hashes = ({"uap": stored.get("uap_sha256")} if kind == "predictions"
              else stored.get("columns", {}))
    rows = _read(folder, kind, tuple(hashes))
    return {sha256: [row[name] for row in rows] for name, sha256 in hashes.items()}


def _same(stored, inputs, keys):
    return all(stored.get(key) == inputs[key] for key in keys)


def read_evaluated(folder):
    """Read what evaluate.py left in the folder of a run. Raises UserError."""
    path = _path(folder, "predictions", ".json")
    info = read_json(path, "run evaluate.py --again", ("model_sha256", "test_sha256"))
    more, columns = {}, {}
    for kind in ("curve", "transfer"):
        stored = read_inputs(folder, kind)
        fits = stored is not None and _same(stored, info, ("model_sha256", "test_sha256"))
        more[kind] = read(folder, kind) if fits else []
        columns[kind] = stored["columns"] if fits else {}
    return Evaluated(folder, info, read(folder, "predictions"),
                     transferred=columns["transfer"], **more)


def find_snapshots(folder):
    """The snapshots of a run: OrderedDict from the number of images shown to the path of v.

    A snapshot is named by the images shown, or by a completed pass, whose images log.csv counts.
    Raises UserError.
    """
    snapshots = os.path.join(folder, "snapshots")
    names = sorted(os.listdir(snapshots)) if os.path.isdir(snapshots) else []
    found, passes = {}, {}
    for name in names:
        match = re.match(r"(images|pass)_(\d+)\.npy$", name)
        if match:
            by = found if match.group(1) == "images" else passes
            by[int(match.group(2))] = os.path.join(snapshots, name)
    if passes:
        shown = _visits_of_passes(os.path.join(folder, "log.csv"))
        for number, path in sorted(passes.items()):
            found[sum(shown[str(k)] for k in range(1, number + 1))] = path
    return collections.OrderedDict(sorted(found.items()))


def _visits_of_passes(path):
    """How many images each pass was shown: dict from its number, as text, in log.csv."""
    try:
        with open(path, encoding="utf-8", newline="") as file:  # half a million rows are common
            log = csv.reader(file)
            place = next(log).index("pass")
            return collections.Counter(row[place] for row in log)
    except (OSError, UnicodeDecodeError, csv.Error, StopIteration, ValueError, IndexError) as error:
        raise UserError("{}: not the log of a run ({}); make the UAP again with make_uap.py".format(
            path, error))
