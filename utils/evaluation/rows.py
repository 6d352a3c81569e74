"""The rows that every number is computed from: one for each test image, three csv files for a run.

results/README.md says what each column is. Beside each csv file lies a JSON file of the same name:
what the rows depend on, and what else there is to say about them.
"""

import os
from typing import Any, Dict, Optional, Sequence

import numpy as np

from utils.common.csv_files import read_written_csv, write_csv
from utils.common.hashes import sha256_of_file
from utils.common.json_files import (
    COUNT,
    INSIDE,
    NATURAL,
    NUMBER,
    OBJECT,
    POSITIVE,
    SHA256,
    TEXT,
    fields,
    or_null,
    read_json,
    with_optional,
    write_json,
)

CONTROLS = ("random", "permuted")  # the columns that depend on the seed of evaluate.py
# The columns that must be there.
REQUIRED_COLUMNS = {
    "predictions": ("file", "label", "clean", "uap", "uap_8bit", "jpeg95", "jpeg75",
                    "clean_jpeg75") + CONTROLS + ("clean_confidence", "uap_confidence"),
    "curve": ("file",),
    "transfer": ("file",)}
FINGERPRINT = "test_images_sha256"
EARLIER = {"uap_unit": "model"}  # what earlier versions did not say, because it was always so
MEND = "run evaluate.py --again"

_BOOLEAN = {"type": "boolean"}
_MADE = {"type": "object", "properties": {
    "command": {"type": "array", "minItems": 2, "items": {"type": "string"}},
    "finished": TEXT, "machine": OBJECT,
    "versions": {"type": "object", "additionalProperties": {"type": "string"}},
    "git": or_null(fields(commit=TEXT, modified=_BOOLEAN))}}


# What all rows depend on, and more that all JSON files hold; that which is optional was not written
# by earlier versions.
_CLASS_NAMES = {"type": "array", "minItems": 1, "items": TEXT}
_RESIZE = {"enum": ["bilinear", "nearest"]}
_OPTIONAL = {"made": _MADE, FINGERPRINT: or_null(SHA256), "class_names": _CLASS_NAMES,
             "image_size": COUNT, "resize": _RESIZE}
_ALL = {"rows_sha256": SHA256, "model_sha256": SHA256, "test_sha256": SHA256}
_NUMBER_OF_IMAGES = {"pattern": "^[0-9]{1,15}$"}

_PREDICTIONS = fields(
    # the classifier and its test images
    model=TEXT, class_names=_CLASS_NAMES, image_size=COUNT, resize=_RESIZE, image_folder=INSIDE,
    weights_from={"type": ["string", "object", "null"]}, recipe=or_null(TEXT),
    epochs=or_null(COUNT), learning_rate=or_null(POSITIVE), batch_size=or_null(COUNT),
    # the UAP
    run=TEXT, uap_sha256=SHA256, source=TEXT, attack=TEXT, target=or_null(TEXT),
    made_for=or_null(TEXT), backbone=_BOOLEAN, norm={"enum": ["2", "inf"]},
    norm_ratio=or_null(POSITIVE), norm_bound=or_null(POSITIVE), images=or_null(NATURAL),
    passes=or_null(NATURAL), steps=or_null(fields(made=NATURAL, kept=NATURAL)),
    snapshots={"type": "object", "propertyNames": _NUMBER_OF_IMAGES,
               "additionalProperties": NUMBER},
    identity={"type": "object", "properties": {
        "seed": or_null(NATURAL), "step_size": or_null(NUMBER),
        "target_fooling_rate": or_null(NUMBER)}},
    # the seed of the two controls
    seed=NATURAL, **_ALL)
PREDICTIONS = with_optional(
    _PREDICTIONS, uap_unit={"enum": ["model", "255", "1"]}, bound_from=or_null(TEXT),
    mean_norms_of=TEXT, precision=TEXT, largest_change=or_null({"type": "number", "minimum": 0}),
    **_OPTIONAL)


def _schema_of_columns(names: Dict[str, Any]) -> Dict[str, Any]:
    columns = {"type": "object", "propertyNames": names, "additionalProperties": SHA256}
    return with_optional(fields(columns=columns, **_ALL), **_OPTIONAL)


SCHEMAS = {"predictions": PREDICTIONS, "curve": _schema_of_columns(_NUMBER_OF_IMAGES),
           "transfer": _schema_of_columns({"minLength": 1})}


def write(folder: str, kind: str, columns: Dict[str, Sequence[str]], record: Dict[str, Any],
          made: Dict[str, Any]) -> None:
    """Write the rows file `kind` of a run, and its JSON file.

    columns: from the column's name to its cells. record: what the JSON file says of the rows.
    made: of how they were made: when, with what.
    """
    path = os.path.join(folder, kind + ".csv")
    write_csv(path, columns, zip(*columns.values()))
    write_json(os.path.join(folder, kind + ".json"),
               dict(record, rows_sha256=sha256_of_file(path), made=made))


def write_record(folder: str, kind: str, record: Dict[str, Any]) -> None:
    """Write the JSON file of rows that stay as they are. record: all of it."""
    write_json(os.path.join(folder, kind + ".json"), record)


def read(folder: str, kind: str) -> Dict[str, np.ndarray]:
    """Read the rows file `kind` of a run: from a column's name to its cells. Raises UserError."""
    path = os.path.join(folder, kind + ".csv")
    rows = read_written_csv(path, REQUIRED_COLUMNS[kind], MEND)
    if not rows:
        return {}
    columns = {}
    for name in rows[0]:
        # NumPy's own kind of text cannot give back the name of a file that is not UTF-8.
        kind_of_text = object if name == "file" else str
        columns[name] = np.array([row[name] for row in rows], kind_of_text)
    return columns


def read_record(folder: str, kind: str) -> Optional[Dict[str, Any]]:
    """Read what the JSON file of rows says; None when there are no whole rows. Raises UserError."""
    path, json_path = (os.path.join(folder, kind + end) for end in (".csv", ".json"))
    if not (os.path.exists(path) and os.path.exists(json_path)):
        return None
    record = read_json(json_path, SCHEMAS[kind], MEND)
    return record if record["rows_sha256"] == sha256_of_file(path) else None


def depend_on(record: Dict[str, Any], inputs: Dict[str, Any]) -> bool:
    """Return whether rows were computed from these inputs. record: what their JSON file says.

    The fingerprint of test images that are not at hand is None here, and any there will do; rows of
    earlier versions have none, and so are not known to be of the images that are at hand.
    """
    for key, value in inputs.items():
        if key == FINGERPRINT:
            if value is not None and record.get(key) != value:
                return False
        elif record.get(key, EARLIER.get(key, value)) != value:
            return False
    return True
