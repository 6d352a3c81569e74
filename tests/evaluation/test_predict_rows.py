"""The rows of one classifier: nothing is predicted twice."""

from types import SimpleNamespace

import numpy as np

from utils.attack.perturbation_file import save_perturbation
from utils.common.hashes import sha256_of_file
from utils.evaluation import predict_rows, prediction
from utils.evaluation.up_to_date import Work
from utils.evaluation.what_to_predict import PlannedRows, UapFile

SIZE = 8
NAMES = ("one", "two", "three")


def rows_to_predict(kind, perturbations):
    """The plan of a file of rows of two test images; perturbations: from column to path."""
    return PlannedRows(
        classifier=SimpleNamespace(attacked=SimpleNamespace(image_size=SIZE)),
        test_images=SimpleNamespace(rows=[("a.jpg", "one"), ("b.jpg", "two")]), folder="",
        kind=kind, inputs={}, control_inputs={"norm": "inf", "seed": 0}, description={},
        perturbations={name: UapFile(path, "model", sha256_of_file(path))
                       for name, path in perturbations.items()})


def test_the_last_snapshot_is_not_predicted_again_for_the_curve(tmp_path):
    random = np.random.RandomState(0)
    early, late = random.uniform(-0.2, 0.2, (2, SIZE, SIZE, 3)).astype(np.float32)
    uap, first, last = (str(tmp_path / name) for name in ("uap.npy", "10.npy", "20.npy"))
    for path, v in ((uap, late), (first, early), (last, late)):
        save_perturbation(path, v)
    weights, batches = random.normal(size=(SIZE * SIZE * 3, len(NAMES))), []

    def logits(x):
        batches.append(len(x))
        return x.reshape(len(x), -1) @ weights

    images = random.randint(0, 256, (2, SIZE, SIZE, 3)).astype(np.uint8)
    predictor = prediction.Predictor(logits, images, NAMES, batch_size=2)
    predictions = predict_rows._columns(
        predictor, rows_to_predict("predictions", {"uap": uap}), Work.PREDICT)
    before = len(batches)
    curve = predict_rows._columns(
        predictor, rows_to_predict("curve", {"10": first, "20": last}), Work.PREDICT)
    assert len(batches) == before + 1
    assert list(curve["20"]) == list(predictions["uap"])
