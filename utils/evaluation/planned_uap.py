"""A UAP that is to be evaluated: read, and compared with all that is known of it.

What is refused here: other shapes, types and units, files that changed since their run, and norms
beyond the bound.
"""

import os
from dataclasses import dataclass
from typing import Dict, NamedTuple, Optional

import numpy as np

from utils.attack.perturbation_file import (
    exceeds,
    largest_change,
    load_perturbation,
    require_norm_within,
    require_unchanged,
)
from utils.attack.run_record import UapRunRecord
from utils.classifier import architectures
from utils.classifier.description import classifier_name
from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.evaluation.present_classifier import PresentClassifier
from utils.evaluation.settings import GivenUap
from utils.images.norms import norm
from utils.images.pixels import PIXEL_SCALE

# A UAP whose bound nobody states is compared with the study's, zeta times the mean norm of the
# training images. It may have been made with a larger one; this many times as large is an error of
# units, or an attacked image.
STUDY_NORM_RATIO = 0.04
FAR_BEYOND = 3
GREY_LEVELS = 255
UNITS_IN_WORDS = {"model": "model-input units of 128 grey levels", "255": "grey levels",
                  "1": "shares of the range of 255 grey levels"}
TELL_THE_UNIT = ("say with --uap-unit what the file is in (model, 255 or 1); of an attacked image "
                 "x + v, save v alone")


class StatedBound(NamedTuple):
    """The p-norm that a UAP is compared with, in model-input units, and who says so."""

    norm: float
    said_by: str


@dataclass(frozen=True)
class PlannedUap:
    """A UAP that is to be evaluated on a classifier.

    file: .npy, in `unit` of perturbation_file.UNITS. record: what its run.json says, None where
    there is none. source: the images it is made from. made_for: the name of the network it was made
    for, None where that is not known. norm: p. largest_change: in grey levels. folder: of the rows.
    """

    classifier: PresentClassifier
    file: str
    unit: str
    record: Optional[UapRunRecord]
    source: str
    made_for: Optional[str]
    norm: float
    bound: StatedBound
    largest_change: float
    folder: str

    @property
    def is_of_public_network(self) -> bool:
        """Return whether it was made for a network without the classifier's classes."""
        return self.record is not None and self.record.made_for is not None

    def snapshots(self) -> Dict[int, str]:
        """Find the snapshots beside the rows: from the images shown, ascending, to the file."""
        return snapshots_in(self.folder, self.record) if self.record else {}


def snapshots_in(folder: str, record: UapRunRecord) -> Dict[int, str]:
    """Find the snapshots in the folder of a run: from the images shown, ascending, to the file."""
    shown = {}
    for name, snapshot in sorted(record.snapshots.items()):
        path = os.path.join(folder, "snapshots", name + ".npy")
        if snapshot.images and os.path.exists(path):
            shown[snapshot.images] = path
    return {images: shown[images] for images in sorted(shown)}


def recorded_uap(classifier: PresentClassifier, file: str, record: UapRunRecord,
                 made_for: Optional[str], folder: str) -> PlannedUap:
    """Read a UAP with a run.json beside it. Raises UserError unless it is as that says.

    The arguments are the fields of PlannedUap.
    """
    v = _load_as_recorded(classifier, file, record, snapshots=snapshots_in(folder, record))
    return PlannedUap(
        classifier=classifier, file=file, unit="model", record=record, source=record.source,
        made_for=made_for, norm=record.norm, bound=StatedBound(record.norm_bound, "run.json"),
        largest_change=_rounded_change(v), folder=folder)


def given_uap(classifier: PresentClassifier, given: GivenUap, record: Optional[UapRunRecord],
              made_for: Optional[str], folder: str) -> PlannedUap:
    """Read the UAP of --uap, and print how large it is. Raises UserError.

    given: what the command line says of it. record: what the run.json beside it says, if any. The
    other arguments are the fields of PlannedUap.
    """
    if record is None:
        v = load_perturbation(given.file, classifier.attacked.image_size, given.unit)
        p, source = given.norm, classifier_name(given.file)
        _require_possible(given, v)
    elif given.unit != "model":
        raise UserError(f"{given.file}: the run.json beside it says that make_uap.py wrote it, in "
                        "model-input units; leave --uap-unit out")
    else:
        v = _load_as_recorded(classifier, given.file, record,
                              snapshots=snapshots_in(folder, record))
        p, source = record.norm, record.source
    bound = _bound(classifier, given, record, p=p)
    _require_within(given, v, p, bound=bound)
    print(f"{printable(given.file)}: its largest change is {largest_change(v):.4g} grey levels; "
          f"its {p:g}-norm is {norm(v, p) * PIXEL_SCALE:.4g} grey levels, the bound is "
          f"{bound.norm * PIXEL_SCALE:.4g} (of {bound.said_by})"
          f"{'' if record else _caution(given, v, p, bound=bound)}")
    return PlannedUap(
        classifier=classifier, file=given.file, unit=given.unit, record=record, source=source,
        made_for=made_for, norm=p, bound=bound, largest_change=_rounded_change(v), folder=folder)


def _caution(given: GivenUap, v: np.ndarray, p: float, bound: StatedBound) -> str:
    """What else to print of a UAP that no run.json describes, since its file says no unit."""
    text = f"; read in {UNITS_IN_WORDS[given.unit]}"
    if exceeds(norm(v, p), bound.norm):
        return text + ", it is beyond the bound: make sure of --uap-unit"
    if largest_change(v) < 1:
        return text + ", it changes no image by one level: make sure of --uap-unit"
    return text


def _rounded_change(v: np.ndarray) -> float:
    return round(largest_change(v), 6)


def _load_as_recorded(classifier: PresentClassifier, file: str, record: UapRunRecord,
                      snapshots: Dict[int, str]) -> np.ndarray:
    """Load a UAP. Raises UserError unless it and its snapshots are as run.json says, in its bound.
    """
    if record.network.scaling != architectures.SCALING:
        raise UserError(f"{file}: made for inputs scaled as {record.network.scaling}, this code "
                        f"scales as {architectures.SCALING}; make it again with make_uap.py")
    size = classifier.attacked.image_size
    uap = load_perturbation(file, size)
    require_unchanged(file, record.uap_sha256)
    require_norm_within(file, uap, record.norm, bound=record.norm_bound)
    for path in snapshots.values():
        require_norm_within(path, load_perturbation(path, size), record.norm,
                            bound=record.norm_bound)
    return uap


def _bound(classifier: PresentClassifier, given: GivenUap, record: Optional[UapRunRecord],
           p: float) -> StatedBound:
    """What the norm of a UAP is compared with: the bound given, else recorded, else the study's."""
    if given.norm_bound is not None:
        return StatedBound(given.norm_bound / PIXEL_SCALE, "--norm-bound")
    if record is not None:
        return StatedBound(record.norm_bound, "run.json")
    mean_norm = classifier.description.mean_norm(p)
    return StatedBound(STUDY_NORM_RATIO * mean_norm / PIXEL_SCALE, "the study's ratio")


def _require_possible(given: GivenUap, v: np.ndarray) -> None:
    """Raise UserError where v, model-input units, changes an image by more than there is."""
    if exceeds(largest_change(v), GREY_LEVELS):
        raise UserError(f"{given.file}: its largest change is {largest_change(v):.6g} grey levels, "
                        f"read in {UNITS_IN_WORDS[given.unit]}; no image can change by more than "
                        f"{GREY_LEVELS}; {TELL_THE_UNIT}")


def _require_within(given: GivenUap, v: np.ndarray, p: float, bound: StatedBound) -> None:
    """Raise UserError where v, model-input units, is too large.

    That is beyond the bound that the command line gives, or far beyond the study's where nobody
    states one.
    """
    levels, most = norm(v, p) * PIXEL_SCALE, bound.norm * PIXEL_SCALE
    if bound.said_by == "--norm-bound" and exceeds(levels, most):
        raise UserError(f"{given.file}: its {p:g}-norm is {levels:.6g} grey levels, --norm-bound "
                        f"is {most:.6g}; state the bound that it was made with, or with --uap-unit "
                        "what the file is in")
    if bound.said_by == "the study's ratio" and exceeds(levels, FAR_BEYOND * most):
        raise UserError(f"{given.file}: its {p:g}-norm is {levels:.6g} grey levels, read in "
                        f"{UNITS_IN_WORDS[given.unit]}; that is more than {FAR_BEYOND} times the "
                        f"study's bound of {most:.6g}; {TELL_THE_UNIT}; or state its bound with "
                        "--norm-bound")
