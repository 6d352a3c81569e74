"""The check of what the demo promises: it passes what is as promised, and fails what is not."""

import os

import numpy as np
import pytest

import checkout
from utils.common.errors import UserError
from utils.evaluation.evaluated_uap import EvaluatedUap, classifier_of, uap_of
from utils.report import promises
from utils.report.promises import PromisedCell, Range

DEMO = os.path.join(checkout.ROOT, "results", "demo-check.csv")
CLASSES = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
CELL = PromisedCell("VGG16", "ilsvrc2012", "deepfool")
PROMISED = {CELL: Range(20, 60)}


def predictions_of(uap=40, random=2, permuted=5, accuracy=90):
    """The rows of 100 test images: the UAP and the controls fool the first so many of them."""
    labels = np.tile(CLASSES, 15)[:100]
    others = np.roll(labels, 1)
    place = np.arange(100)
    clean = np.where(place < 100 - accuracy, others, labels)
    elsewhere = np.array([CLASSES[(CLASSES.index(name) + 3) % 7] for name in clean])
    columns = {"label": labels, "clean": clean}
    for name, fooled in (("uap", uap), ("random", random), ("permuted", permuted)):
        columns[name] = np.where(place < fooled, elsewhere, clean)
    return columns


def evaluated(predictions, cell=CELL):
    """An EvaluatedUap with these rows."""
    record = {
        "model": cell.model, "model_sha256": "m", "uap_sha256": "v", "image_folder": "pictures",
        "resize": "bilinear", "made_for": cell.model, "source": cell.source,
        "attack": cell.attack, "norm": "inf", "norm_ratio": 0.1, "target": None,
        "run": cell.source, "images": 50, "passes": 1, "norm_bound": 0.2, "steps": None,
        "image_size": 32, "class_names": CLASSES, "backbone": False, "weights_from": "random",
        "snapshots": {}, "recipe": "study", "epochs": 2, "learning_rate": 0.001, "batch_size": 16,
        "identity": {"seed": 0}}
    return EvaluatedUap(
        folder="", classifier=classifier_of(record), uap=uap_of(record), test_sha256="t",
        control_seed=0, curve={}, transfer={}, rows_sha256="r", made={}, predictions=predictions)


def broken_by(predictions):
    return promises.check([evaluated(predictions)], PROMISED).broken


def test_a_uap_as_promised_passes():
    verdict = promises.check([evaluated(predictions_of())], PROMISED)
    assert verdict.broken == []
    assert verdict.kept == ("1 of 1 UAPs fool more images than both controls, every classifier has "
                            "at least 90.0 % test accuracy")


def test_a_uap_of_zeros_fails():
    """It changes no prediction, and a control of its norm, none, does not either."""
    first, second = broken_by(predictions_of(uap=0, random=0, permuted=0))
    assert "does not fool more images than both controls" in first
    assert "fools 0.0 %, promised: 20 to 60 %" in second


@pytest.mark.parametrize("fooled", [5, 40])
def test_a_shuffled_uap_fails_however_often_it_fools(fooled):
    """A permutation of a permuted UAP is another one like it, whatever the network."""
    broken = broken_by(predictions_of(uap=fooled, permuted=fooled))
    assert any("does not fool more images than both controls" in line for line in broken)


@pytest.mark.parametrize("accuracy", [14, 69])
def test_a_classifier_that_knows_too_little_fails(accuracy):
    line, = broken_by(predictions_of(accuracy=accuracy))
    assert line == f"VGG16: test accuracy {accuracy}.0 %, promised: at least 70 %"


def test_an_untrained_classifier_which_says_one_class_of_every_image_fails():
    predictions = predictions_of()
    predictions.update({name: np.full(100, "NV") for name in predictions if name != "label"})
    broken = " ".join(broken_by(predictions))
    assert "test accuracy 15.0 %" in broken and "fools 0.0 %" in broken


@pytest.mark.parametrize("columns, line", [
    ({"uap": 19}, "fools 19.0 %, promised: 20 to 60 %"),
    ({"uap": 61}, "fools 61.0 %, promised: 20 to 60 %")])
def test_a_rate_outside_its_range_fails(columns, line):
    assert broken_by(predictions_of(**columns)) == ["VGG16/ilsvrc2012/deepfool: " + line]


def test_p_values_are_corrected_for_all_the_tests_of_a_check():
    """8 images that the UAP alone fools, p 0.008: enough for 2 tests, too little for 18."""
    weak, promised = predictions_of(uap=30, permuted=22, random=22), Range(25, 60)
    assert promises.check([evaluated(weak)], {CELL: promised}).broken == []
    cells = [PromisedCell(f"model {k}", "ilsvrc2012", "deepfool") for k in range(9)]
    together = promises.check([evaluated(weak, cell) for cell in cells],
                              dict.fromkeys(cells, promised))
    assert len(together.broken) == 9


def test_a_promised_uap_that_is_not_there_fails():
    verdict = promises.check([], PROMISED)
    assert verdict.broken == ["VGG16/ilsvrc2012/deepfool: no such UAP was evaluated"]


@pytest.mark.parametrize("rows, message", [
    ("VGG16,ilsvrc2012,deepfool,many,60\n", "from 'many' to '60'"),
    ("VGG16,ilsvrc2012,deepfool,60,20\n", "from '60' to '20'"),
    ("VGG16,ilsvrc2012,deepfool,0,20\n", "from '0' to '20'"),
    ("VGG16,ilsvrc2012,deepfool,1,2\n" * 2, "stands twice"),
    ("", "no rows")])
def test_a_file_that_promises_nothing_is_refused(tmp_path, rows, message):
    path = tmp_path / "promises.csv"
    path.write_text(",".join(promises.PROMISE_COLUMNS) + "\n" + rows)
    with pytest.raises(UserError, match=message):
        promises.read_promises(str(path))


def test_the_demo_promises_every_cell_of_the_table_and_one_of_sgd_for_each_classifier():
    cells = promises.read_promises(DEMO)
    assert set(cells) == {
        PromisedCell(model, source, attack) for model in ("VGG16", "ResNet50", "InceptionV3")
        for source, attack in (("open_images_v5", "deepfool"), ("ilsvrc2012", "deepfool"),
                               ("isic2018", "deepfool"), ("ilsvrc2012", "sgd"))}


def test_evaluate_ends_with_exit_code_1_for_classifiers_that_were_hardly_trained(smoke):
    """The smoke run's only one has seen 14 lesions."""
    demo = [word for name in ("data", "models", "results")
            for word in (f"--{name}-dir", f"demo/{name}")]
    code, output, _ = checkout.script(
        smoke[0], "evaluate.py", *demo, "--check", "results/demo-check.csv")
    assert code == 1
    *_, verdict = output.split("check of results/demo-check.csv: ")
    assert "promises are not kept" in verdict
    assert "VGG16: test accuracy " in verdict
    assert "ResNet50/isic2018/deepfool: no such UAP was evaluated" in verdict
