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
    write_json,
)

CONTROLS = ("random", "permuted")  # the columns that depend on the seed of evaluate.py
# The columns that must be there.
COLUMNS = {
    "predictions": ("file", "label", "clean", "uap", "uap_8bit", "jpeg95", "jpeg75",
                    "clean_jpeg75") + CONTROLS + ("clean_confidence", "uap_confidence"),
    "curve": ("file",),
    "transfer": ("file",)}
MEND = "run evaluate.py --again"

_BOOLEAN = {"type": "boolean"}
_MADE = {"type": "object", "properties": {
    "command": {"type": "array", "minItems": 2, "items": {"type": "string"}},
    "finished": TEXT, "machine": OBJECT,
    "versions": {"type": "object", "additionalProperties": {"type": "string"}},
    "git": or_null(fields(commit=TEXT, modified=_BOOLEAN))}}


def _schema(optional: Dict[str, Any], **required: Any) -> Dict[str, Any]:
    schema = fields(**required)
    schema["properties"].update(optional)
    return schema


# predictions.json. The optional fields were not written by earlier versions.
PREDICTIONS = _schema(
    {"made": _MADE, "test_images_sha256": or_null(SHA256),
     "uap_unit": {"enum": ["model", "255", "1"]}, "largest_change": or_null({**NUMBER, "minimum": 0}),
     "bound_from": or_null(TEXT)},
    rows_sha256=SHA256,
    # the classifier and its test images
    model=TEXT, model_sha256=SHA256, test_sha256=SHA256,
    class_names={"type": "array", "minItems": 1, "items": TEXT},
    image_size=COUNT, resize={"enum": ["bilinear", "nearest"]}, image_folder=INSIDE,
    weights_from={"type": ["string", "object", "null"]}, recipe=or_null(TEXT),
    epochs=or_null(COUNT), learning_rate=or_null(POSITIVE), batch_size=or_null(COUNT),
    # the UAP
    run=TEXT, uap_sha256=SHA256, source=TEXT, attack=TEXT, target=or_null(TEXT),
    made_for=or_null(TEXT), backbone=_BOOLEAN, norm={"enum": ["2", "inf"]},
    norm_ratio=or_null(POSITIVE), norm_bound=or_null(POSITIVE), images=or_null(NATURAL),
    passes=or_null(NATURAL), steps=or_null(fields(made=NATURAL, kept=NATURAL)),
    snapshots={"type": "object", "propertyNames": {"pattern": "^[0-9]{1,15}$"},
               "additionalProperties": NUMBER},
    identity={"type": "object", "properties": {
        "seed": or_null(NATURAL), "step_size": or_null(NUMBER),
        "target_fooling_rate": or_null(NUMBER)}},
    # the seed of the two controls
    seed=NATURAL)


def _schema_of_columns(names: Dict[str, Any]) -> Dict[str, Any]:
    return _schema(
        {"made": _MADE, "test_images_sha256": or_null(SHA256)},
        rows_sha256=SHA256, model_sha256=SHA256, test_sha256=SHA256,
        columns={"type": "object", "propertyNames": names, "additionalProperties": SHA256})


SCHEMAS = {"predictions": PREDICTIONS, "curve": _schema_of_columns({"pattern": "^[0-9]{1,15}$"}),
           "transfer": _schema_of_columns({"minLength": 1})}


def write(folder: str, kind: str, columns: Dict[str, Sequence[str]], inputs: Dict[str, Any],
          made: Dict[str, Any]) -> None:
    """Write the rows file `kind` of a run, and its JSON file.

    columns: from the column's name to its cells. inputs: what the JSON file says of the rows.
    made: of how they were made: when, with what.
    """
    path = os.path.join(folder, kind + ".csv")
    write_csv(path, columns, zip(*columns.values()))
    write_json(os.path.join(folder, kind + ".json"),
               dict(inputs, rows_sha256=sha256_of_file(path), made=made))


def read(folder: str, kind: str) -> Dict[str, np.ndarray]:
    """The rows file `kind` of a run: from a column's name to its cells. Raises UserError."""
    path = os.path.join(folder, kind + ".csv")
    rows = read_written_csv(path, COLUMNS[kind], MEND)
    if not rows:
        return {}
    # NumPy's own kind of text cannot give back the name of a file that is not UTF-8.
    return {name: np.array([row[name] for row in rows], object if name == "file" else str)
            for name in rows[0]}


def read_record(folder: str, kind: str) -> Optional[Dict[str, Any]]:
    """What the JSON file of rows says; None when there are no whole rows. Raises UserError."""
    path, json_path = (os.path.join(folder, kind + end) for end in (".csv", ".json"))
    if not (os.path.exists(path) and os.path.exists(json_path)):
        return None
    record = read_json(json_path, SCHEMAS[kind], MEND)
    return record if record["rows_sha256"] == sha256_of_file(path) else None


def read_inputs(folder: str, kind: str) -> Optional[Dict[str, Any]]:
    """What the rows depend on, as the JSON file says; None when there are no whole rows."""
    record = read_record(folder, kind)
    if record is not None:
        for key in ("made", "rows_sha256"):
            record.pop(key, None)
    return record


def up_to_date(folder: str, kind: str, inputs: Dict[str, Any]) -> bool:
    """Whether there are whole rows of these inputs."""
    return read_inputs(folder, kind) == inputs
