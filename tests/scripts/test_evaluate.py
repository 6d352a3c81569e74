"""evaluate.py at work: which rows a change makes anew, what it says, and how it ends."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import checkout
import evaluate
from study_files import settings_below
from utils.common.errors import UserError
from utils.images.datasets import ISIC2018_IMAGES

ROWS = os.path.join("results", "VGG16", "ilsvrc2012")
CONTROLS = ("random", "permuted")


@pytest.fixture(scope="module")
def once(trained, tmp_path_factory):
    """A folder with data, models and results, of which every row was predicted once."""
    folder = str(tmp_path_factory.mktemp("evaluated"))
    for name in ("data", "models", "results"):
        shutil.copytree(os.path.join(trained, name), os.path.join(folder, name))
    run_evaluate(folder)
    return folder


@pytest.fixture
def folder(once, tmp_path):
    """A copy of it."""
    copy = str(tmp_path / "copy")
    shutil.copytree(once, copy)
    return copy


def call_evaluate(folder, *words):
    """Run evaluate.py on a folder: its exit code, its output, its errors."""
    folders = [word for name in ("data", "models", "results")
               for word in (f"--{name}-dir", os.path.join(folder, name))]
    return checkout.script(checkout.ROOT, "evaluate.py", *words, *folders)


def run_evaluate(folder, *words):
    """Run evaluate.py on a folder to its normal end; what it printed."""
    code, output, errors = call_evaluate(folder, *words)
    assert code == 0, errors
    return output


def columns_of(folder, kind="predictions"):
    found = checkout.read_csv(folder, ROWS, kind + ".csv")
    return {name: [row[name] for row in found] for name in found[0]}


def record_of(folder):
    with open(os.path.join(folder, ROWS, "predictions.json")) as file:
        return json.load(file)


def file_times(folder):
    return {name: os.stat(os.path.join(folder, ROWS, name)).st_mtime_ns
            for name in ("predictions.csv", "curve.csv")}


def test_seconds_that_changed_in_run_json_are_said_and_nothing_is_predicted(folder):
    before, path = file_times(folder), os.path.join(folder, ROWS, "run.json")
    with open(path) as file:
        run = json.load(file)
    for snapshot in run["snapshots"].values():
        snapshot["seconds"] = 123.4
    with open(path, "w") as file:
        json.dump(run, file)
    run_evaluate(folder)
    assert file_times(folder) == before
    assert set(record_of(folder)["snapshots"].values()) == {123.4}


def test_another_seed_predicts_the_two_control_columns_alone(folder):
    before, times = columns_of(folder), file_times(folder)
    run_evaluate(folder, "--seed", "1")
    after = columns_of(folder)
    assert list(after) == list(before)
    assert [name for name in before if after[name] != before[name] and name not in CONTROLS] == []
    assert record_of(folder)["seed"] == 1
    assert file_times(folder)["curve.csv"] == times["curve.csv"]
    run_evaluate(folder, "--seed", "1", "--again")
    assert columns_of(folder) == after  # as if all had been predicted with this seed


def test_a_preprocessed_copy_of_the_test_images_has_rates_of_its_own(folder):
    before, fingerprint = columns_of(folder), record_of(folder)["test_images_sha256"]
    images = os.path.join(folder, "data", ISIC2018_IMAGES)
    for name in os.listdir(images):
        image = np.asarray(Image.open(os.path.join(images, name)))
        Image.fromarray(image[::-1] // 2).save(os.path.join(images, name))
    run_evaluate(folder)
    after = columns_of(folder)
    assert after["file"] == before["file"]
    assert after["clean_confidence"] != before["clean_confidence"]
    assert record_of(folder)["test_images_sha256"] != fingerprint
    assert columns_of(folder, "curve")["file"] == before["file"]


def test_a_quick_look_at_a_few_images_keeps_the_rows_of_all(folder):
    before, times = columns_of(folder), file_times(folder)
    assert len(before["file"]) > 4
    output = run_evaluate(folder, "--limit", "4")
    assert "the rows of more than 4 test images are up to date; they are kept" in output
    assert columns_of(folder) == before and file_times(folder) == times


def test_rows_of_a_few_images_become_rows_of_all(folder):
    before = columns_of(folder)
    for name in os.listdir(os.path.join(folder, ROWS)):
        if name.startswith(("predictions", "curve")):
            os.remove(os.path.join(folder, ROWS, name))
    run_evaluate(folder, "--limit", "4")
    assert len(columns_of(folder)["file"]) == len(columns_of(folder, "curve")["file"]) == 4
    run_evaluate(folder)
    assert columns_of(folder) == before


def test_the_same_perturbation_in_grey_levels_has_the_same_rows_and_says_its_largest_change(folder):
    v = np.load(os.path.join(folder, ROWS, "uap.npy"))
    path = os.path.join(folder, "mine.npy")
    np.save(path, v * 128)
    output = run_evaluate(folder, "--uap", path, "--model-file",
                          os.path.join(folder, "models", "VGG16.h5"), "--uap-unit", "255")
    assert f"its largest change is {abs(v).max() * 128:.4g} grey levels" in output
    (rows,) = [name for name in os.listdir(os.path.join(folder, "results", "VGG16"))
               if name.startswith("mine-")]
    found = checkout.read_csv(folder, "results", "VGG16", rows, "predictions.csv")
    assert [row["uap"] for row in found] == columns_of(folder)["uap"]


def test_wrong_types_in_rows_that_need_no_work_are_one_message_before_any_other_work(folder):
    os.remove(os.path.join(folder, ROWS, "predictions.csv"))  # work
    other = os.path.join(folder, "results", "VGG16-gone", "ilsvrc2012")
    os.makedirs(other)
    with open(os.path.join(other, "predictions.csv"), "w") as file:
        file.write("file,label\n")
    with open(os.path.join(other, "predictions.json"), "w") as file:
        json.dump(dict(record_of(folder), class_names="NV"), file)
    code, _, errors = call_evaluate(folder)
    assert code == 2
    assert errors.count("\n") == 1
    assert "predictions.json: class_names: 'NV' is not of type" in errors
    assert not os.path.exists(os.path.join(folder, ROWS, "predictions.csv"))


@pytest.mark.parametrize("off, code", [([], None), (["VGG16/x: 1.0 %, expected 9.0"], 1)])
def test_rates_that_are_not_as_expected_end_the_script_with_exit_code_1(
        tmp_path, capsys, off, code):
    settings = dataclasses.replace(settings_below(tmp_path), expected_rates_file="expected.csv")
    try:
        evaluate.require_expected_rates(settings, 3, off)
        assert code is None
    except SystemExit as end:
        assert end.code == code
    out, errors = capsys.readouterr()
    assert f"{3 - len(off)} of 3 rates are within 5 points" in out
    assert errors == "".join(line + "\n" for line in off)
    with pytest.raises(UserError, match="none of its rates"):
        evaluate.require_expected_rates(settings, 0, [])
