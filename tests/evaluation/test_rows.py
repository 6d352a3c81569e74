"""Rows files come back as they were written, and are used only for what they were computed from."""

import json
import os

import pytest

from utils.common.errors import UserError
from utils.evaluation import rows
from utils.evaluation.evaluated_uap import find, read_evaluated

A, B, C = "a" * 64, "b" * 64, "c" * 64
INPUTS = {
    "model": "VGG16", "model_sha256": A, "test_sha256": B, "class_names": ["NV", "MEL"],
    "image_size": 8, "resize": "bilinear", "image_folder": "x", "weights_from": "random",
    "recipe": "study", "epochs": 10, "learning_rate": 0.01, "batch_size": 16, "run": "ilsvrc2012",
    "uap_sha256": C, "source": "ilsvrc2012", "attack": "deepfool", "target": None,
    "made_for": "VGG16", "backbone": False, "norm": "inf", "norm_ratio": 0.04, "norm_bound": 0.1,
    "images": 20, "passes": 1, "steps": {"made": 4, "kept": 1}, "snapshots": {"10": 1.5},
    "identity": {}, "seed": 0}
COLUMNS = {name: ["0.5", "1.0000", "0.25"] if name.endswith("_confidence") else [
    "NV", "NV", "MEL"] for name in rows.REQUIRED_COLUMNS["predictions"]}
COLUMNS["file"] = [
    os.fsdecode(b"not UTF-8 \xfc.jpg"), "with space.jpg", "comma, \"quotes\" and ü.jpg"]
SAME = {"model_sha256": A, "test_sha256": B}


def write_run(folder, **changes):
    rows.write(folder, "predictions", COLUMNS, dict(INPUTS, **changes), {"finished": "today"})
    curve = {"file": ["1", "2", "3"], "10": ["MEL"] * 3, "200": ["MEL", "MEL", "NV"]}
    rows.write(folder, "curve", curve, dict(SAME, columns={"10": A, "200": C}), {})
    rows.write(folder, "transfer", {"file": ["1", "2", "3"], "ResNet50": ["NV", "MEL", "NV"]},
               dict(SAME, columns={"ResNet50": B}), {})


def test_what_was_evaluated_comes_back_with_all_its_rows(tmp_path):
    folder = str(tmp_path / "run")
    write_run(folder)
    found = read_evaluated(folder)
    assert {name: list(cells) for name, cells in found.predictions.items()} == COLUMNS
    assert found.uap.name == "ilsvrc2012" and found.test_images == 3
    assert [(shown, rate.count) for shown, rate in found.curve.items()] == [(10, 2), (200, 3)]
    assert {sha256: rate[3:] for sha256, rate in found.transfer.items()} == {B: (2, 3)}


@pytest.mark.parametrize("inputs, expected", [
    ({}, True), ({"uap_sha256": C, "test_sha256": B}, True), ({"uap_sha256": A}, False),
    ({"uap_unit": "model"}, True), ({"uap_unit": "255"}, False),  # not said by earlier versions
    ({"test_images_sha256": None}, True), ({"test_images_sha256": A}, False)])
def test_rows_depend_on_what_their_json_file_says_of_them(tmp_path, inputs, expected):
    write_run(str(tmp_path))
    record = rows.read_record(str(tmp_path), "predictions")
    assert rows.depend_on(record, inputs) == expected


def test_rows_of_earlier_versions_depend_on_what_these_said(tmp_path):
    write_run(str(tmp_path))
    record = rows.read_record(str(tmp_path), "curve")
    assert rows.depend_on(record, dict(SAME, image_size=8, test_images_sha256=None))
    assert not rows.depend_on(record, dict(SAME, image_size=8, test_images_sha256=A))


def test_rows_that_were_changed_or_that_miss_a_file_count_as_absent(tmp_path):
    folder = str(tmp_path)
    assert rows.read_record(folder, "curve") is None
    write_run(folder)
    with open(os.path.join(folder, "curve.csv"), "a") as file:
        file.write("4,NV,NV\n")
    os.remove(os.path.join(folder, "predictions.csv"))
    for kind in ("curve", "predictions"):
        assert rows.read_record(folder, kind) is None


def test_rows_that_are_not_those_of_their_json_file_are_refused(tmp_path):
    folder = str(tmp_path)
    write_run(folder)
    with open(os.path.join(folder, "predictions.csv"), "a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="predictions.json: not of the rows beside it; .*--again"):
        read_evaluated(folder)


@pytest.mark.parametrize("kind, field, value, message", [
    ("predictions", "steps", "many", "predictions.json: steps: 'many' is not"),
    ("predictions", "class_names", "NV", "predictions.json: class_names: 'NV' is not of type"),
    ("predictions", "snapshots", {"10": "soon"}, "predictions.json: snapshots.10: 'soon' is not"),
    ("predictions", "snapshots", {"x": 1}, "predictions.json: snapshots: 'x' does not match"),
    ("predictions", "norm", "3", "predictions.json: norm: '3' is not one of"),
    ("predictions", "image_folder", "../x", "predictions.json: image_folder: '../x' does not"),
    ("predictions", "identity", {"seed": "x"}, "predictions.json: identity.seed: 'x' is not"),
    ("predictions", "largest_change", -1, "predictions.json: largest_change: -1 is"),
    ("predictions", "made", {"command": "python"}, "predictions.json: made.command: 'python' is"),
    ("predictions", "attack", "x/../../../victim/cell", "predictions.json: attack: the name 'x/.*'"
     " is no plain name but a path"),
    ("predictions", "model", "..", "predictions.json: model: the name '..' is no plain name"),
    ("curve", "columns", ["10"], "curve.json: columns: .* is not of type 'object'"),
    ("curve", "columns", {"ten": A}, "curve.json: columns: 'ten' does not match"),
    ("transfer", "columns", {"ResNet50": 1}, "transfer.json: columns.ResNet50: 1 is not of type"),
    ("transfer", "columns", {"x": A}, "transfer.csv: column x has not 3 cells")])
def test_a_wrong_value_in_a_json_file_of_rows_is_named(tmp_path, kind, field, value, message):
    write_run(str(tmp_path))
    path = tmp_path / (kind + ".json")
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **{field: value})))
    with pytest.raises(UserError, match=message):
        read_evaluated(str(tmp_path))


@pytest.mark.parametrize("name, cell, message", [
    ("uap", "cat", "column uap: 'cat', expected one of NV, MEL; run evaluate.py --again"),
    ("label", "", "column label: '', expected one of NV, MEL"),
    ("clean_confidence", "high", "column clean_confidence: 'high', expected a probability"),
    ("uap_confidence", "nan", "column uap_confidence: 'nan', expected a probability")])
def test_a_cell_that_no_classifier_predicts_is_named(tmp_path, name, cell, message):
    rows.write(str(tmp_path), "predictions", dict(COLUMNS, **{name: COLUMNS[name][:2] + [cell]}),
               INPUTS, {})
    with pytest.raises(UserError, match="predictions.csv: " + message):
        read_evaluated(str(tmp_path))


def test_a_file_of_rows_without_a_column_is_an_error_that_says_how_to_mend_it(tmp_path):
    (tmp_path / "predictions.csv").write_text("file,label,clean\na.jpg,NV,NV\n")
    with pytest.raises(UserError, match="uap, uap_8bit, .* is missing.*--again"):
        rows.read(str(tmp_path), "predictions")


@pytest.mark.parametrize("changed", ["model_sha256", "test_sha256"])
def test_rows_of_another_model_or_of_other_images_are_not_used(tmp_path, changed):
    write_run(str(tmp_path), **{changed: C})
    found = read_evaluated(str(tmp_path))
    assert not found.curve and not found.transfer


def test_runs_are_found_in_the_order_of_their_folders(tmp_path):
    names = [("VGG16", "ilsvrc2012"), ("VGG16", "ilsvrc2012-fgsm"), ("VGG16-other", "isic2018")]
    for name in names + [("VGG16", ".isic2018.partial")]:  # the last is being made
        write_run(str(tmp_path.joinpath(*name)))
    assert find(str(tmp_path)) == [str(tmp_path.joinpath(*name)) for name in names]
