"""Which rows are up to date, and what has to be done about the others."""

import enum
import os
from typing import Dict, List, NamedTuple, Optional

from utils.classifier.description import (
    json_path_of,
    read_description_alone,
    read_weights_sha256,
)
from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.evaluation import rows
from utils.evaluation.evaluated_uap import EvaluatedUap
from utils.evaluation.present_classifier import PresentClassifier, TestImages, inputs_of
from utils.evaluation.settings import EvaluationSettings
from utils.evaluation.what_to_predict import PlannedRows


class Work(enum.Enum):
    """What has to be done about a file of rows."""

    NOTHING = "it is up to date"
    DESCRIBE = "only what is said about the rows has changed"
    PREDICT_CONTROLS = "predict the two control columns: their seed or their norm has changed"
    PREDICT = "predict every column"


class RowsToDo(NamedTuple):
    """A file of rows and what has to be done about it."""

    rows: PlannedRows
    work: Work


def find_work(settings: EvaluationSettings, planned: List[PlannedRows]) -> List[RowsToDo]:
    """Find what has to be done about each file of rows, but for those that are up to date.

    planned: the files of one UAP behind one another, its predictions first. Rows of fewer images,
    which --limit asks for, never replace rows of more: those that are up to date are kept, with all
    that belongs to them. Raises UserError where they are not.
    """
    to_do = []
    kept = set()  # folders
    for file in planned:
        if file.folder in kept:
            continue
        if settings.limit is not None and _are_of_more_images(file):
            print(f"{printable(os.path.join(file.folder, file.kind))}.csv: the rows of more than "
                  f"{len(file.test_images.rows)} test images are up to date; they are kept")
            if file.kind == "predictions":
                kept.add(file.folder)
            continue
        work = Work.PREDICT if settings.again else work_on(file)
        if work is not Work.NOTHING:
            to_do.append(RowsToDo(file, work))
    return to_do


def work_on(file: PlannedRows) -> Work:
    """Find what has to be done about a file of rows. Raises UserError."""
    record = rows.read_record(file.folder, file.kind)
    if record is None or not rows.depend_on(record, file.inputs):
        return Work.PREDICT
    if not rows.depend_on(record, file.control_inputs):
        return Work.PREDICT_CONTROLS
    if any(record.get(key) != value for key, value in file.description.items()):
        return Work.DESCRIBE
    return Work.NOTHING


class RowsNotPlanned:
    """Tells whether rows that this run of evaluate.py has no part in are still of their inputs.

    These are rows of UAPs from elsewhere, and of all others where --uap names one.
    """

    def __init__(self, models_dir: str, data_dir: str) -> None:
        self._models_dir, self._data_dir = models_dir, data_dir
        self._present: Dict[str, PresentClassifier] = {}

    def fault(self, uap: EvaluatedUap) -> Optional[str]:
        """Return why rows are not of their classifier and test images as they are now.

        None where they are, or where these are not at hand. Raises UserError.
        """
        weights_file = os.path.join(self._models_dir, uap.classifier.name + ".h5")
        description_file = json_path_of(weights_file)
        if not os.path.exists(description_file):
            return None
        if read_weights_sha256(description_file) != uap.classifier.sha256:
            return f"of other weights than those of {description_file}"
        if not os.path.exists(weights_file):
            return None
        if weights_file not in self._present:
            self._present[weights_file] = PresentClassifier(
                read_description_alone(weights_file), self._data_dir)
        present = self._present[weights_file]
        now = inputs_of(present.attacked, present.test_images(uap.test_images))
        then = inputs_of(uap.classifier, TestImages(
            rows=[], sha256=uap.test_sha256, fingerprint=uap.test_images_sha256))
        if rows.depend_on(then, now):
            return None
        return "of other test images than there are now; evaluate this UAP again"


def _are_of_more_images(file: PlannedRows) -> bool:
    """Whether rows of more images are there, and up to date.

    Raises UserError where they are there and of other inputs.
    """
    record = rows.read_record(file.folder, file.kind)
    if record is None:
        return False
    count = len(rows.read(file.folder, file.kind).get("file", ()))
    if count <= len(file.test_images.rows):
        return False
    of_so_many = inputs_of(file.classifier.attacked, file.classifier.test_images(count))
    if not rows.depend_on(record, dict(file.inputs, **of_so_many)):
        raise UserError(
            f"{os.path.join(file.folder, file.kind)}.csv: its rows of {count} test images are out "
            f"of date, rows of {len(file.test_images.rows)} do not replace them; leave --limit "
            "out, or give a copy of the run in another --results-dir")
    return True
