"""What evaluate.py is to predict: from the files of runs and models alone, before any model is run.

Which UAPs there are, which classifiers they meet, where the rows go and what these depend on.
"""

import os
import pathlib
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional, Set

from utils.attack.run_record import UapRunRecord, read_run_record
from utils.classifier.description import (
    classifier_name,
    read_description,
    read_description_alone,
)
from utils.common import json_files
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.common.names import require_file_name
from utils.common.terminal import printable
from utils.evaluation import evaluated_uap, rows
from utils.evaluation.planned_uap import PlannedUap, given_uap, recorded_uap
from utils.evaluation.present_classifier import PresentClassifier, TestImages, inputs_of
from utils.evaluation.settings import EvaluationSettings

HASH_DIGITS_OF_A_NAME = 8  # of a SHA-256, where it tells names apart
# Of these, the JSON files of runs and of models have had at least one in every version.
RUN_KEYS, MODEL_KEYS = {"uap", "made_for"}, {"architecture"}


class UapFile(NamedTuple):
    """A perturbation in a file, and what of perturbation_file.UNITS it is in."""

    path: str
    unit: str
    sha256: str


@dataclass(frozen=True)
class PlannedRows:
    """A file of rows that there is to be.

    kind: "predictions", "curve" or "transfer". perturbations: the file of each column. inputs: all
    that the rows depend on; control_inputs: what only the two control columns do; description: what
    is merely said about them. These three are laid out as in the JSON file of the rows.
    """

    classifier: PresentClassifier
    test_images: TestImages
    folder: str
    kind: str
    perturbations: Dict[str, UapFile]
    inputs: Dict[str, Any]
    control_inputs: Dict[str, Any]
    description: Dict[str, Any]


def find_uaps(settings: EvaluationSettings) -> List[PlannedUap]:
    """Find every UAP to evaluate, and check its files. Raises UserError.

    Rows whose classifier is not there are left as they are; the one that --uap is to meet must be.
    """
    classifiers: Dict[str, Optional[PresentClassifier]] = {}
    uaps = []
    for asked in _asked_for(settings):
        record, model_file = asked.record, asked.model_file
        if model_file not in classifiers:
            classifiers[model_file] = (
                PresentClassifier(read_description(model_file), settings.data_dir)
                if settings.uap or os.path.exists(model_file) else None)
        classifier = classifiers[model_file]
        made_for = _network_made_for(record, model_file, classifier)
        folder = _folder_of_rows(settings, asked.file, record, made_for=made_for,
                                 model_file=model_file)
        if classifier is not None and settings.uap:
            uaps.append(given_uap(classifier, settings.uap, record, made_for=made_for,
                                  folder=folder))
        elif classifier is not None and record is not None:
            uaps.append(recorded_uap(classifier, asked.file, record, made_for=made_for,
                                     folder=folder))
        elif rows.read_record(folder, "predictions") is not None:
            print(f"{printable(model_file)}: not here; the rows in {printable(folder)} are taken "
                  "as they are")
        else:
            read_description(model_file)  # says what is missing
    if not uaps and not evaluated_uap.find(settings.results_dir):
        raise UserError(f"{settings.results_dir}: no run found (looked for "
                        "<model>/<run>/run.json); make a UAP with make_uap.py")
    return uaps


class _UapOnModel(NamedTuple):
    """A UAP, what its run.json says, and the model file that it is to meet."""

    file: str
    record: Optional[UapRunRecord]
    model_file: str


def _asked_for(settings: EvaluationSettings) -> List[_UapOnModel]:
    if settings.uap:
        beside = os.path.join(os.path.dirname(settings.uap.file), "run.json")
        return [_UapOnModel(settings.uap.file, _record_of_given(beside), settings.uap.model_file)]
    asked = []
    groups = evaluated_uap.result_groups(settings.results_dir)
    for path in sorted(path for group in groups
                       for path in pathlib.Path(group).glob("[!.]*/[!.]*/run.json")):
        values = json_files.read_json(str(path), {}, "make it again with make_uap.py")
        if values != {} and _is_foreign(values, RUN_KEYS):
            print(f"{printable(str(path))}: foreign, make_uap.py did not write it; the folder is "
                  "left out")
            continue
        record = read_run_record(str(path))
        asked += [_UapOnModel(str(path.with_name("uap.npy")), record, model_file)
                  for model_file in _model_files(record, settings.models_dir)]
    return asked


def _record_of_given(path: str) -> Optional[UapRunRecord]:
    """What the run.json beside the UAP of --uap says; None where make_uap.py wrote none."""
    if not os.path.exists(path):
        return None
    try:
        foreign = _is_foreign(json_files.read_json(path, {}, ""), RUN_KEYS)
    except UserError:  # no JSON at all
        foreign = True
    if foreign:
        print(f"{printable(path)}: foreign, make_uap.py did not write it; treated as absent")
        return None
    return read_run_record(path)


def _is_foreign(values: Any, own_keys: Set[str]) -> bool:
    """Whether another tool wrote these values of a JSON file: none of this project's keys is there.
    """
    return not isinstance(values, dict) or not own_keys & set(values)


def _model_files(record: UapRunRecord, models_dir: str) -> List[str]:
    """That of a run's own model; of a public network, those of its kind that were fine-tuned."""
    network = record.network
    if not record.made_for:
        return [os.path.join(models_dir, network.name + ".h5")]
    files = []
    for path in sorted(pathlib.Path(models_dir).glob("[!.]*.json")):
        if path.with_suffix(".h5").exists() and not _describes_a_foreign_model(path):
            description = read_description_alone(str(path.with_suffix(".h5")))
            if (description.weights_sha256 != network.sha256
                    and description.architecture == network.architecture
                    and description.image_size == network.image_size):
                files.append(str(path.with_suffix(".h5")))
    if not files:
        print(f"{network.name}: no {network.architecture} of {network.image_size} px in "
              f"{printable(models_dir)} to try it on")
    return files


def _describes_a_foreign_model(path: pathlib.Path) -> bool:
    """Whether another tool wrote this file, such as Keras' model.to_json(); says so where it is."""
    foreign = _is_foreign(json_files.read_json(str(path), {}, ""), MODEL_KEYS)
    if foreign:
        print(f"{printable(str(path))}: foreign, train_model.py did not write it; left out")
    return foreign


def _network_made_for(record: Optional[UapRunRecord], model_file: str,
                      classifier: Optional[PresentClassifier]) -> Optional[str]:
    """The network that a UAP was made for: the model's name if it is that one with those weights.

    classifier: that of `model_file`, None where it is not there.
    """
    if record is None:
        return None
    made_for = record.made_for or record.network.name
    if made_for == classifier_name(model_file) and classifier is not None and (
            classifier.attacked.sha256 != record.network.sha256):
        return f"{made_for}-{record.network.sha256[:HASH_DIGITS_OF_A_NAME]}"
    return made_for


def _folder_of_rows(settings: EvaluationSettings, file: str, record: Optional[UapRunRecord],
                    made_for: Optional[str], model_file: str) -> str:
    """Where the rows of a UAP on a model go: beside it if it was made for this model. UserError."""
    folder = os.path.dirname(os.path.abspath(file))
    model_name = classifier_name(model_file)
    group = _group_of(settings.results_dir, folder)
    if group is None and not evaluated_uap.may_hold_runs(settings.results_dir):
        raise UserError(f"{settings.results_dir}: its runs are in groups, which one directly below "
                        "it would hide; give a group with --results-dir, such as "
                        f"{os.path.join(settings.results_dir, 'others')}")
    model_folder = os.path.join(group or settings.results_dir, model_name)
    if made_for == model_name and os.path.dirname(folder) == os.path.abspath(model_folder):
        return folder
    name = os.path.basename(folder) if record else classifier_name(file)
    require_file_name(name, f"{file}: rows are kept under it")
    if record is None or made_for == model_name:  # another file of this name is another UAP
        return os.path.join(model_folder, f"{name}-{sha256_of_uap(file)[:HASH_DIGITS_OF_A_NAME]}")
    if not (settings.allow_mismatch or record.made_for):
        network = ("other weights" if record.network.name == model_name
                   else f"the model {made_for}")
        raise UserError(f"{file}: made for {network}, not for {model_file}; make it again with "
                        "make_uap.py, or give --allow-mismatch to see whether it transfers")
    return os.path.join(model_folder, f"{name}-of-{made_for}")


def _group_of(results_dir: str, folder: str) -> Optional[str]:
    """The group of results that holds <model>/<run>/, which is `folder`; None of no such folder."""
    root = os.path.dirname(os.path.dirname(folder))
    return next((group for group in evaluated_uap.result_groups(results_dir)
                 if os.path.abspath(group) == root), None)


def sha256_of_uap(file: str) -> str:
    """Return the SHA-256 of a UAP's file. Raises UserError where there is none."""
    if not os.path.isfile(file):
        raise UserError(f"{file}: no such file; make it again with make_uap.py")
    return sha256_of_file(file)


def plan_rows(settings: EvaluationSettings, uaps: List[PlannedUap]) -> List[PlannedRows]:
    """List every file of rows that there is to be, those of one UAP behind one another."""
    planned = []
    for uap in uaps:
        classifier, test_images = uap.classifier, uap.classifier.test_images(settings.limit)
        inputs = inputs_of(classifier.attacked, test_images)
        uap_file = UapFile(uap.file, uap.unit, sha256_of_file(uap.file))
        planned.append(PlannedRows(
            classifier=classifier, test_images=test_images, folder=uap.folder, kind="predictions",
            perturbations={"uap": uap_file},
            inputs=dict(inputs, uap_sha256=uap_file.sha256, uap_unit=uap.unit),
            control_inputs={"norm": f"{uap.norm:g}", "seed": settings.seed},
            description=_describe(uap)))
        snapshots = {str(images): path for images, path in uap.snapshots().items()}
        for kind, paths in (("curve", snapshots), ("transfer", _uaps_for_others(uap, uaps))):
            files = {name: UapFile(path, "model", sha256_of_file(path))
                     for name, path in paths.items()}
            if files:
                columns = {name: file.sha256 for name, file in files.items()}
                planned.append(PlannedRows(
                    classifier=classifier, test_images=test_images, folder=uap.folder, kind=kind,
                    perturbations=files, inputs=dict(inputs, columns=columns), control_inputs={},
                    description={}))
    return planned


def _describe(uap: PlannedUap) -> Dict[str, Any]:
    """What predictions.json merely says of a UAP and its classifier, for the table and the report.
    """
    record, classifier = uap.record, uap.classifier.attacked
    return {
        "run": os.path.basename(uap.folder), "source": uap.source, "made_for": uap.made_for,
        "attack": record.attack if record else "unknown",
        "target": record.target if record else None,
        "backbone": uap.is_of_public_network,
        "norm_ratio": record.norm_ratio if record else None,
        "norm_bound": uap.bound.norm, "bound_from": uap.bound.said_by,
        "largest_change": uap.largest_change,
        "images": record.images if record else None,
        "passes": record.passes if record else None,
        "steps": {"made": record.steps_made, "kept": record.steps_kept} if record else None,
        "identity": record.identity if record else {},
        "snapshots": {str(snapshot.images): snapshot.seconds
                      for snapshot in record.snapshots.values()} if record else {},
        "model": classifier.name, "image_folder": classifier.image_folder,
        "weights_from": classifier.weights_from, "recipe": classifier.recipe,
        "epochs": classifier.epochs, "learning_rate": classifier.learning_rate,
        "batch_size": classifier.batch_size, "precision": classifier.precision,
        "mean_norms_of": classifier.mean_norms_of}


def _uaps_for_others(uap: PlannedUap, uaps: List[PlannedUap]) -> Dict[str, str]:
    """Return the untargeted UAPs of the same run for the models like this one.

    They have the same test images. From the model's name to the .npy file.
    """
    def alike(other: PlannedUap) -> tuple:
        return (os.path.basename(other.folder), other.classifier.attacked.image_size,
                other.classifier.attacked.class_names, other.classifier.test_side_sha256)

    return {other.classifier.name: other.file for other in uaps
            if other.classifier is not uap.classifier and alike(other) == alike(uap)
            and other.record is not None and other.record.target is None
            and not other.is_of_public_network}
