"""Rows files come back as they were written, and are used only for what they were computed from."""

import os

import pytest

from utils.common.errors import UserError
from utils.evaluation import rows

INPUTS = dict(dict.fromkeys(rows.INFO["required"]), model_sha256="m", test_sha256="t", norm="inf",
              uap_sha256="v", run="ilsvrc2012", identity={}, snapshots={"10": 1.5})
COLUMNS = {name: ["{}-{}".format(name, i) for i in range(3)]
           for name in rows.COLUMNS["predictions"]}
COLUMNS["file"] = ["plain.jpg", "with space.jpg", "comma, \"quotes\" and ü.jpg"]
SAME = {"model_sha256": "m", "test_sha256": "t"}


def write_run(folder, **changes):
    rows.write(folder, "predictions", COLUMNS, dict(INPUTS, **changes), {"finished": "today"})
    rows.write(folder, "curve", {"file": ["1", "2", "3"], "10": ["clean-0"] * 3, "200": ["NV"] * 3},
               dict(SAME, columns={"10": "a", "200": "v"}), {})
    rows.write(folder, "transfer", {"file": ["1", "2", "3"], "ResNet50": ["clean-0", "MEL", "NV"]},
               dict(SAME, columns={"ResNet50": "r"}), {})


def test_what_was_evaluated_comes_back_with_all_its_rows(tmp_path):
    folder = str(tmp_path / "run")
    write_run(folder)
    found = rows.read_run(folder)
    assert {name: list(cells) for name, cells in found.predictions.items()} == COLUMNS
    assert found.info["run"] == "ilsvrc2012" and len(found) == 3
    assert [(shown, rate.count) for shown, rate in found.curve.items()] == [(10, 2), (200, 3)]
    assert {sha256: rate[3:] for sha256, rate in found.transfer.items()} == {"r": (2, 3)}


@pytest.mark.parametrize("changes, expected", [
    ({}, True), ({"snapshots": {"10": 99}}, False), ({"uap_sha256": "w"}, False),
    ({"more": None}, False)])
def test_rows_are_up_to_date_as_long_as_all_they_depend_on_is_the_same(tmp_path, changes, expected):
    write_run(str(tmp_path))
    assert rows.up_to_date(str(tmp_path), "predictions", dict(INPUTS, **changes)) == expected


def test_rows_that_were_changed_or_that_miss_a_file_count_as_absent(tmp_path):
    folder = str(tmp_path)
    assert rows.read_inputs(folder, "curve") is None
    write_run(folder)
    with open(os.path.join(folder, "curve.csv"), "a") as file:
        file.write("4,NV,NV\n")
    os.remove(os.path.join(folder, "predictions.csv"))
    for kind in ("curve", "predictions"):
        assert rows.read_inputs(folder, kind) is None


def test_rows_that_are_not_those_of_their_json_file_are_refused(tmp_path):
    folder = str(tmp_path)
    write_run(folder)
    with open(os.path.join(folder, "predictions.csv"), "a") as file:
        file.write("\n")
    with pytest.raises(UserError, match="predictions.json: not of the rows beside it; .*--again"):
        rows.read_run(folder)


def test_a_file_of_rows_without_a_column_is_an_error_that_says_how_to_mend_it(tmp_path):
    (tmp_path / "predictions.csv").write_text("file,label,clean\na.jpg,NV,NV\n")
    with pytest.raises(UserError, match="uap, uap_8bit, .* is missing.*--again"):
        rows.read(str(tmp_path), "predictions")


@pytest.mark.parametrize("changed", ["model_sha256", "test_sha256"])
def test_rows_of_another_model_or_of_other_images_are_not_used(tmp_path, changed):
    write_run(str(tmp_path), **{changed: "other"})
    found = rows.read_run(str(tmp_path))
    assert not found.curve and not found.transfer


def test_runs_are_found_in_the_order_of_their_folders(tmp_path):
    names = [("VGG16", "ilsvrc2012"), ("VGG16", "ilsvrc2012-fgsm"), ("VGG16-other", "isic2018")]
    for name in names + [("VGG16", ".isic2018.partial")]:  # the last is being made
        write_run(str(tmp_path.joinpath(*name)))
    assert rows.find(str(tmp_path)) == [str(tmp_path.joinpath(*name)) for name in names]
