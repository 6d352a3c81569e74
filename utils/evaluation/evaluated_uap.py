"""One UAP on one classifier, as evaluate.py left it: what it is, its rows, and their rates."""

import os
import pathlib
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from utils.classifier.description import TRAINING_IMAGES
from utils.common.errors import UserError
from utils.common.names import require_file_name
from utils.common.precision import FLOAT32, precision_of
from utils.common.success import successes
from utils.evaluation import metrics, rows
from utils.evaluation.metrics import Rate


class Steps(NamedTuple):
    """How many steps a run made, and how many of them went into the UAP."""

    made: int
    kept: int


@dataclass(frozen=True)
class AttackedClassifier:
    """The classifier, as the table and the report speak of it.

    sha256: of its weights file. image_folder: of its test images, below the data folder.
    weights_from: what its training began with: a text, or a dict that names a file. recipe,
    epochs, learning_rate, batch_size: of its training, None where that is not known. precision: in
    which it was trained. mean_norms_of: of which images the mean norm is that a bound is a share
    of.
    """

    name: str
    sha256: str
    class_names: Tuple[str, ...]
    image_size: int
    resize: str
    image_folder: str
    weights_from: Union[str, Dict[str, Any], None]
    recipe: Optional[str]
    epochs: Optional[int]
    learning_rate: Optional[float]
    batch_size: Optional[int]
    precision: str = FLOAT32
    mean_norms_of: str = TRAINING_IMAGES


@dataclass(frozen=True)
class UapDescription:
    """The UAP, as the table and the report speak of it; None is what is not known.

    name: of the folder of the rows. sha256: of the .npy file. source: the images it is made from.
    made_for: the network it is made for; backbone: whether that is one without the classes.
    norm: "2" or "inf". norm_ratio: zeta. norm_bound: the norm it was compared with, model-input
    units; bound_from: who says so. largest_change: of a pixel's channel, in grey levels.
    target: the class it is to reach, None of an untargeted one. images: of the source that were
    used. snapshots: from the number of images shown to the seconds of computing until then.
    identity: what make_uap.py tells this run from others by.
    """

    name: str
    sha256: str
    source: str
    attack: str
    target: Optional[str]
    made_for: Optional[str]
    backbone: bool
    norm: str
    norm_ratio: Optional[float]
    norm_bound: Optional[float]
    bound_from: Optional[str]
    largest_change: Optional[float]
    images: Optional[int]
    passes: Optional[int]
    steps: Optional[Steps]
    snapshots: Dict[int, float]
    identity: Dict[str, Any]


@dataclass(frozen=True, eq=False)
class EvaluatedUap:
    """One UAP on one classifier: what it is, what was predicted, and the rates of that.

    folder: of the rows. test_sha256: of the list of test images and their labels.
    control_seed: of the two random controls. predictions: from a column's name to its cells, an
    array of n str. curve: from the number of images shown, ascending, to the Rate of that snapshot.
    transfer: from the SHA-256 of another model's UAP to its Rate. Both are empty where there are
    none for the same model and images. rows_sha256: of predictions.csv. made: when, with which
    command and versions it was. test_images_sha256: of the contents of the test images, None where
    an earlier version made the rows.
    """

    folder: str
    classifier: AttackedClassifier
    uap: UapDescription
    test_sha256: str
    control_seed: int
    predictions: Dict[str, np.ndarray]
    curve: Dict[int, Rate]
    transfer: Dict[str, Rate]
    rows_sha256: str
    made: Dict[str, Any]
    test_images_sha256: Optional[str] = None

    @property
    def test_images(self) -> int:
        """Return the number of test images."""
        return len(self.predictions["label"])

    def hits(self, column: str = "uap") -> np.ndarray:
        """Return on which test images a column of predictions is a success, bool.

        Untargeted: the class differs from the clean one. Targeted: it is the target; the images
        that are predicted as the target anyway are left out.
        """
        return successes(self.predictions["clean"], self.predictions[column], self.uap.target)

    def rate(self, column: str = "uap") -> Rate:
        """Return the fooling rate of a column; of a targeted UAP, its success rate."""
        return success_rate(self.predictions["clean"], self.predictions[column], self.uap.target)


def success_rate(clean: np.ndarray, attacked: np.ndarray, target: Optional[str]) -> Rate:
    """Return the fooling rate, or, with a target, the targeted success rate."""
    if target is None:
        return metrics.fooling_rate(clean, attacked)
    return metrics.targeted_success_rate(clean, attacked, target)


def classifier_of(record: Dict[str, Any]) -> AttackedClassifier:
    """Return what predictions.json says of the classifier."""
    return AttackedClassifier(
        name=record["model"], sha256=record["model_sha256"],
        class_names=tuple(record["class_names"]),
        precision=precision_of(record),
        mean_norms_of=record.get("mean_norms_of", TRAINING_IMAGES),
        **{key: record[key] for key in (
            "image_size", "resize", "image_folder", "weights_from", "recipe", "epochs",
            "learning_rate", "batch_size")})


def uap_of(record: Dict[str, Any]) -> UapDescription:
    """Return what predictions.json says of the UAP."""
    steps = record["steps"]
    bound_from = "run.json" if record["norm_bound"] else None  # of earlier versions
    return UapDescription(
        name=record["run"], sha256=record["uap_sha256"],
        steps=steps and Steps(made=steps["made"], kept=steps["kept"]),
        snapshots={int(shown): seconds for shown, seconds in record["snapshots"].items()},
        bound_from=record.get("bound_from", bound_from),
        largest_change=record.get("largest_change"),
        **{key: record[key] for key in (
            "source", "attack", "target", "made_for", "backbone", "norm", "norm_ratio",
            "norm_bound", "images", "passes", "identity")})


def result_groups(results_dir: str) -> List[str]:
    """Find the folders that hold <model>/<run>/ with a run or its rows.

    That is the results folder itself; where it holds none, those below it that do: its groups.
    """
    for below in ("[!.]*/[!.]*/", "[!.]*/[!.]*/[!.]*/"):
        groups = {path.parents[2] for name in ("run.json", "predictions.json")
                  for path in pathlib.Path(results_dir).glob(below + name)}
        if groups:
            return [str(group) for group in sorted(groups)]
    return [results_dir]


def may_hold_runs(results_dir: str) -> bool:
    """Whether <model>/<run>/ may be directly below a results folder: not where groups are."""
    return list(map(os.path.abspath, result_groups(results_dir))) == [os.path.abspath(results_dir)]


def find(results_dir: str) -> List[str]:
    """Find the folders with rows of a run, below a results folder or below its groups; sorted."""
    records = [path for group in result_groups(results_dir)
               for path in pathlib.Path(group).glob("[!.]*/[!.]*/predictions.json")]
    return [str(path.parent) for path in sorted(records)]


def require_one_classifier_of_each_name(
        classifiers: Iterable[Tuple[str, AttackedClassifier]]) -> None:
    """Raise UserError where rows are of two classifiers of one name: no table could tell them.

    classifiers: folders of rows, and the classifier of each.
    """
    first: Dict[str, Tuple[str, AttackedClassifier]] = {}
    for folder, classifier in classifiers:
        other_folder, other = first.setdefault(classifier.name, (folder, classifier))
        if other.sha256 != classifier.sha256:
            raise UserError(
                f"{folder}: rows of a classifier {classifier.name} with other weights than that of "
                f"{other_folder}; evaluate the two by themselves with --results-dir, or train one "
                "of the classifiers under another --name")


def read_evaluated(folder: str) -> EvaluatedUap:
    """Read what evaluate.py left in the folder of a run. Raises UserError."""
    path = os.path.join(folder, "predictions.json")
    record = rows.read_record(folder, "predictions")
    if record is None:
        raise UserError(f"{path}: not of the rows beside it; {rows.MEND}")
    for key in ("model", "run", "attack", "made_for"):
        if record[key] is not None:
            require_file_name(record[key], f"{path}: {key}")
    predictions, uap = _read_predictions(folder, record["class_names"]), uap_of(record)

    count = len(predictions["label"])

    def rate(cells: np.ndarray) -> Rate:
        return success_rate(predictions["clean"], cells, uap.target)

    curve = {int(column.name): rate(column.cells)
             for column in _columns(folder, "curve", record, count=count)}
    transfer = {column.sha256: rate(column.cells)
                for column in _columns(folder, "transfer", record, count=count)}
    return EvaluatedUap(
        folder=folder, classifier=classifier_of(record), uap=uap,
        test_sha256=record["test_sha256"], control_seed=record["seed"], predictions=predictions,
        curve={shown: curve[shown] for shown in sorted(curve)},
        transfer={sha256: transfer[sha256] for sha256 in sorted(transfer)},
        rows_sha256=record["rows_sha256"], made=record.get("made", {}),
        test_images_sha256=record.get(rows.FINGERPRINT))


def _read_predictions(folder: str, class_names: Sequence[str]) -> Dict[str, np.ndarray]:
    """The columns of predictions.csv, of known classes and of confidences. Raises UserError."""
    columns = rows.read(folder, "predictions")
    path = os.path.join(folder, "predictions.csv")
    if not columns:
        raise UserError(f"{path}: no rows; {rows.MEND}")
    for name in rows.REQUIRED_COLUMNS["predictions"]:
        if name.endswith("_confidence"):
            wrong = [cell for cell in columns[name] if not _is_share(cell)]
            expected = "a probability"
        elif name != "file":
            wrong = sorted(set(columns[name]) - set(class_names))
            expected = f"one of {', '.join(class_names)}"
        else:
            wrong = []
        if wrong:
            raise UserError(f"{path}: column {name}: {str(wrong[0])!r}, expected {expected[:200]}; "
                            f"{rows.MEND}")
    return columns


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


class _Column(NamedTuple):
    """A column of rows, and the SHA-256 of its perturbation."""

    name: str
    sha256: str
    cells: np.ndarray


def _columns(folder: str, kind: str, predictions: Dict[str, Any],
             count: int) -> Iterator[_Column]:
    """The columns of a rows file if it is of the same model and images as predictions.json.

    count: of these images. Raises UserError.
    """
    record = rows.read_record(folder, kind)
    same = ("model_sha256", "test_sha256", "test_images_sha256")
    if record is not None and all(record.get(key) == predictions.get(key) for key in same):
        columns = rows.read(folder, kind)
        for name, sha256 in record["columns"].items():
            if len(columns.get(name, ())) != count:
                raise UserError(f"{os.path.join(folder, kind)}.csv: column {name} has not {count} "
                                f"cells as predictions.csv; {rows.MEND}")
            yield _Column(name, sha256, columns[name])
