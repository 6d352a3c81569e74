"""Doing what has to be done about the rows of one classifier, which is loaded once."""

import os
from typing import Any, Dict, List, Sequence

from utils.attack.perturbation_file import load_perturbation
from utils.classifier import device
from utils.classifier.saved_classifier import load_classifier
from utils.classifier.session import start_session
from utils.evaluation import prediction, rows
from utils.evaluation.settings import EvaluationSettings
from utils.evaluation.up_to_date import RowsToDo, Work
from utils.evaluation.what_to_predict import PlannedRows, UapFile


def describe_rows(file: PlannedRows) -> None:
    """Write anew what is merely said about rows that stay as they are."""
    record = rows.read_record(file.folder, file.kind) or {}
    rows.write_record(file.folder, file.kind, {**record, **file.description})


def predict_rows(settings: EvaluationSettings, to_do: List[RowsToDo]) -> None:
    """Predict and write the rows of one classifier, whole file by whole file. Raises UserError.

    to_do: of the same classifier and test images, each to be predicted.
    """
    device.choose(settings.device)  # before Keras is imported, whose banner it keeps away
    from tqdm import tqdm

    from utils.attack.gradients.graph import AttackGraph
    from utils.classifier.frameworks import VERSIONS
    from utils.common.provenance import environment, now
    from utils.images.reading import read_images

    classifier, test_images = to_do[0].rows.classifier, to_do[0].rows.test_images
    attacked = classifier.attacked
    start_session(settings.seed, inference=True)
    graph = AttackGraph(load_classifier(classifier.description))
    folder = os.path.join(settings.data_dir, attacked.image_folder)
    images = read_images([os.path.join(folder, file) for file, _ in test_images.rows],
                         attacked.image_size, attacked.resize, description="reading test images")
    passes = sum(_passes(each.rows, each.work) for each in to_do)
    with tqdm(unit="image", desc="evaluating " + classifier.name,
              total=passes * len(images)) as bar:
        predictor = prediction.Predictor(
            logits=graph.logits, images=images, class_names=attacked.class_names,
            batch_size=settings.batch_size, progress=bar.update)
        for each in to_do:
            file = each.rows
            rows.write(file.folder, file.kind, _columns(predictor, file, each.work),
                       record=dict(file.inputs, **file.control_inputs, **file.description),
                       made=dict(environment(VERSIONS), finished=now()))


def _passes(file: PlannedRows, work: Work) -> int:
    """How many times all test images are predicted for a file of rows, at most."""
    if file.kind != "predictions":
        return len(file.perturbations)
    if work is Work.PREDICT_CONTROLS:
        return prediction.CONTROL_PASSES
    return prediction.ATTACK_PASSES + prediction.CONTROL_PASSES


def _key(uap: UapFile) -> str:
    """Name a perturbation, alike in whichever file it is: the last snapshot is the UAP itself."""
    return f"{uap.sha256}, {uap.unit}"


def _columns(predictor: prediction.Predictor, file: PlannedRows,
             work: Work) -> Dict[str, Sequence[str]]:
    """The columns of a file of rows, in their order: from each name to its cells."""
    names, labels = zip(*file.test_images.rows)
    size = file.classifier.attacked.image_size
    loaded = {name: load_perturbation(uap.path, size, uap.unit)
              for name, uap in file.perturbations.items()}
    if file.kind != "predictions":
        predicted = {name: predictor.predict_once(_key(file.perturbations[name]), v).classes
                     for name, v in loaded.items()}
        return {"file": names, **predicted}
    v, uap = loaded["uap"], file.perturbations["uap"]
    columns: Dict[str, Any] = {"file": names, "label": labels}
    if work is Work.PREDICT_CONTROLS:
        columns.update(rows.read(file.folder, file.kind))
    else:
        columns.update(prediction.attack_columns(predictor, _key(uap), v))
    columns.update(prediction.control_columns(
        predictor, v, float(file.control_inputs["norm"]), seed=file.control_inputs["seed"]))
    return {name: columns[name] for name in rows.REQUIRED_COLUMNS["predictions"]}
