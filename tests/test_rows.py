"""Rows files come back as they were written, and are used only for what they were computed from."""

import collections
import os

import pytest

from utils import rows
from utils.errors import UserError

INPUTS = {"model_sha256": "m", "test_sha256": "t", "uap_sha256": "v", "run": "ilsvrc2012"}
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
    assert [dict(row) for row in rows.read(folder, "predictions")] == [
        {name: columns[name][i] for name in columns} for i in range(3)]
    assert rows.read_inputs(folder, "predictions") == INPUTS


def test_rows_that_were_changed_or_that_miss_a_file_count_as_absent(tmp_path):
    folder = str(tmp_path)
    assert rows.read_inputs(folder, "curve") is None
    write_run(folder)
    with open(os.path.join(folder, "curve.csv"), "a") as file:
        file.write("3.jpg,NV,NV\n")
    assert rows.read_inputs(folder, "curve") is None
    assert rows.known_columns(folder, "curve", INPUTS) == {}
    os.remove(os.path.join(folder, "predictions.csv"))
    assert rows.read_inputs(folder, "predictions") is None


def test_a_file_of_rows_without_a_column_is_an_error_that_says_how_to_mend_it(tmp_path):
    (tmp_path / "predictions.csv").write_text("file,label,clean\na.jpg,NV,NV\n")
    with pytest.raises(UserError, match="uap, uap_8bit, .* is missing.*--again"):
        rows.read(str(tmp_path), "predictions")


def test_a_column_is_known_by_the_hash_of_its_perturbation(tmp_path):
    folder = str(tmp_path)
    write_run(folder)
    assert rows.known_columns(folder, "curve", INPUTS) == {"a": ["NV", "NV"], "v": ["NV", "MEL"]}
    assert rows.known_columns(folder, "predictions", INPUTS) == {"v": ["uap-0", "uap-1", "uap-2"]}


@pytest.mark.parametrize("changed", ["model_sha256", "test_sha256"])
def test_rows_of_another_model_or_of_other_images_are_not_used(tmp_path, changed):
    folder = str(tmp_path)
    write_run(folder, **{changed: "other"})
    assert rows.known_columns(folder, "curve", dict(INPUTS, **{changed: "other"})) == {}
    assert rows.read_evaluated(folder).curve == []


def test_what_was_evaluated_is_read_with_all_its_rows(tmp_path):
    folder = str(tmp_path)
    write_run(folder)
    found = rows.read_evaluated(folder)
    assert found.info["run"] == "ilsvrc2012" and len(found.rows) == 3
    assert [row["200"] for row in found.curve] == ["NV", "MEL"]
    assert found.transfer == [] and found.transferred == {}


def test_snapshots_are_ordered_by_the_images_shown_over_all_passes(tmp_path):
    (tmp_path / "snapshots").mkdir()
    for name in ("images_0000010", "images_0000020", "pass_001", "pass_002"):
        (tmp_path / "snapshots" / (name + ".npy")).write_text("")
    # 30 images, one of them unreadable; snapshots by number exist up to 20
    (tmp_path / "log.csv").write_text("visit,pass\n" + "".join(
        "{},{}\n".format(i, 1 if i <= 29 else 2) for i in range(1, 59)))
    found = rows.find_snapshots(str(tmp_path))
    assert [(shown, os.path.basename(path)) for shown, path in found.items()] == [
        (10, "images_0000010.npy"), (20, "images_0000020.npy"), (29, "pass_001.npy"),
        (58, "pass_002.npy")]


def test_a_snapshot_at_the_end_of_a_pass_is_counted_once(tmp_path):
    (tmp_path / "snapshots").mkdir()
    for name in ("images_0000010", "pass_001"):
        (tmp_path / "snapshots" / (name + ".npy")).write_text("")
    (tmp_path / "log.csv").write_text("visit,pass\n" + "1,1\n" * 10)
    assert list(rows.find_snapshots(str(tmp_path))) == [10]


@pytest.mark.parametrize("log", [None, "", "visit,file\n", "visit,pass\n1\n"])
def test_a_pass_without_its_log_is_an_error_that_says_how_to_mend_it(tmp_path, log):
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "pass_001.npy").write_text("")
    if log is not None:
        (tmp_path / "log.csv").write_text(log)
    with pytest.raises(UserError, match="log.csv: not the log .*make_uap.py"):
        rows.find_snapshots(str(tmp_path))


def test_a_run_without_snapshots_has_none(tmp_path):
    assert rows.find_snapshots(str(tmp_path)) == {}
