"""Rows files come back as they were written, and are used only for what they were computed from."""

import collections
import os

import pytest

from utils import rows
from utils.errors import UserError

INPUTS = {"model_sha256": "m", "test_sha256": "t", "uap_sha256": "v", "run": "ilsvrc2012",
          "identity": {}, "weights_from": "random", "snapshots": {}, "target": None}
SNAPSHOTS = {"model_sha256": "m", "test_sha256": "t", "columns": {"10": "a", "200": "v"}}


def prediction_columns():
    cells = [["{}-{}".format(name, i) for i in range(3)] for name in rows.COLUMNS["predictions"]]
    cells[0] = ["plain.jpg", "with space.jpg", "comma, \"quotes\" and ü.jpg"]
    return collections.OrderedDict(zip(rows.COLUMNS["predictions"], cells))


def curve_columns():
    return collections.OrderedDict([("file", ["1.jpg", "2.jpg"]), ("10", ["NV", "NV"]),
                                    ("200", ["NV", "MEL"])])


def write_run(folder, **changes):
    rows.write(folder, "predictions", prediction_columns(), dict(INPUTS, **changes), {})
    rows.write(folder, "curve", curve_columns(), SNAPSHOTS, {})


def test_rows_and_what_they_depend_on_come_back_as_they_were_written(tmp_path):
    folder, columns = str(tmp_path / "run"), prediction_columns()
    rows.write(folder, "predictions", columns, INPUTS, {"finished": "today"})
    found = rows.read(folder, "predictions")
    assert {name: list(cells) for name, cells in found.items()} == columns
    assert rows.read_inputs(folder, "predictions") == INPUTS


def test_rows_that_were_changed_or_that_miss_a_file_count_as_absent(tmp_path):
    folder = str(tmp_path)
    assert rows.read_inputs(folder, "curve") is None
    write_run(folder)
    with open(os.path.join(folder, "curve.csv"), "a") as file:
        file.write("3.jpg,NV,NV\n")
    assert rows.read_inputs(folder, "curve") is None
    os.remove(os.path.join(folder, "predictions.csv"))
    assert rows.read_inputs(folder, "predictions") is None


def test_a_file_of_rows_without_a_column_is_an_error_that_says_how_to_mend_it(tmp_path):
    (tmp_path / "predictions.csv").write_text("file,label,clean\na.jpg,NV,NV\n")
    with pytest.raises(UserError, match="uap, uap_8bit, .* is missing.*--again"):
        rows.read(str(tmp_path), "predictions")


@pytest.mark.parametrize("changed", ["model_sha256", "test_sha256"])
def test_rows_of_another_model_or_of_other_images_are_not_used(tmp_path, changed):
    folder = str(tmp_path)
    write_run(folder, **{changed: "other"})
    assert rows.read_run(folder).curve == {}


def test_what_was_evaluated_is_read_with_all_its_rows(tmp_path):
    folder = str(tmp_path)
    write_run(folder)
    rows.write(folder, "transfer", collections.OrderedDict(
        [("file", ["a", "b", "c"]), ("ResNet50", ["clean-0", "MEL", "NV"])]),
        dict(SNAPSHOTS, columns={"ResNet50": "r"}), {})
    found = rows.read_run(folder)
    assert found.info["run"] == "ilsvrc2012" and len(found) == 3
    assert list(found.curve["200"]) == ["NV", "MEL"]
    rate = found.transfer_rate("ResNet50", "r")
    assert (rate.count, rate.total) == (2, 3)
    assert found.transfer_rate("ResNet50", "made again") is None
    assert found.transfer_rate("VGG16", "r") is None


def test_runs_are_found_in_the_order_of_their_folders(tmp_path):
    names = [("VGG16", "ilsvrc2012"), ("VGG16", "ilsvrc2012-fgsm"), ("VGG16-other", "isic2018")]
    for name in names:
        write_run(str(tmp_path.joinpath(*name)))
    assert rows.find(str(tmp_path)) == [str(tmp_path.joinpath(*name)) for name in names]
