"""What the rows depend on, and what is merely said about them."""

import dataclasses
import json
import os

import pytest

from study_files import (
    SHOWN,
    TEST,
    settings_below,
    write_model,
    write_rows,
    write_run,
    write_test_images,
)
from utils.common.errors import UserError
from utils.evaluation import rows
from utils.evaluation.evaluated_uap import read_evaluated
from utils.evaluation.predict_rows import describe_rows
from utils.evaluation.up_to_date import Work, find_work
from utils.evaluation.what_to_predict import find_uaps, plan_rows

ALL = {"predictions": Work.PREDICT, "curve": Work.PREDICT}
OTHER_SECONDS = {name: {"images": n, "seconds": 99} for name, n in SHOWN.items()}


@pytest.fixture
def settings(tmp_path):
    """Of a model, one run for it, and the rows of both test images, which are at hand."""
    found = settings_below(tmp_path)
    write_test_images(found)
    write_model(found, "VGG16")
    write_run(found, "VGG16", "ilsvrc2012")
    write_rows({file.kind: file for file in plan_rows(found, find_uaps(found))})
    return found


def work(settings, **changes):
    """What there is to do after changes of the settings: by the kind of rows."""
    changed = dataclasses.replace(settings, **changes)
    found = find_work(changed, plan_rows(changed, find_uaps(changed)))
    return {file.rows.kind: file.work for file in found}


def folder_of(settings):
    return os.path.join(settings.results_dir, "VGG16", "ilsvrc2012")


def edit_record(settings, kind, change):
    path = os.path.join(folder_of(settings), kind + ".json")
    with open(path) as file:
        values = json.load(file)
    change(values)
    with open(path, "w") as file:
        json.dump(values, file)


@pytest.mark.parametrize("changes, expected", [
    ({}, {}),
    ({"snapshots": OTHER_SECONDS}, {"predictions": Work.DESCRIBE}),
    ({"passes": 3}, {"predictions": Work.DESCRIBE}),
    ({"snapshots": {"pass_001": {"images": 20, "seconds": 2.0}}},
     {"predictions": Work.DESCRIBE, "curve": Work.PREDICT}),
    ({"seed": 1}, ALL)])  # another UAP
def test_rows_are_predicted_again_only_where_what_they_depend_on_has_changed(
        settings, changes, expected):
    write_run(settings, "VGG16", "ilsvrc2012", **changes)
    assert work(settings) == expected


def test_test_images_of_other_contents_under_the_same_names_outdate_all_rows(settings):
    write_test_images(settings, b"PIXELS")
    assert work(settings) == ALL


def test_rows_are_kept_where_the_test_images_are_not_at_hand_which_is_said(settings, capsys):
    os.remove(os.path.join(settings.data_dir, "x", "b.jpg"))
    assert work(settings) == {}
    assert "x: 1 of 2 test images of VGG16 are not here" in capsys.readouterr().out


def test_rows_of_a_version_without_fingerprints_are_not_known_to_be_of_the_images_at_hand(settings):
    for kind in ALL:
        edit_record(settings, kind, lambda record: record.pop("test_images_sha256"))
    assert work(settings) == ALL
    assert work(settings, data_dir="nowhere") == {}


def test_another_class_name_or_way_of_resizing_outdates_the_rows(settings):
    edit_record(settings, "curve", lambda record: record.update(resize="nearest"))
    edit_record(settings, "predictions", lambda record: record["class_names"].reverse())
    assert work(settings) == ALL


def test_another_seed_outdates_the_two_control_columns_and_nothing_else(settings):
    assert work(settings, seed=1) == {"predictions": Work.PREDICT_CONTROLS}


def test_again_predicts_everything(settings):
    assert work(settings, again=True) == ALL


def test_what_is_merely_said_is_written_anew_beside_rows_that_stay(settings):
    write_run(settings, "VGG16", "ilsvrc2012", snapshots=OTHER_SECONDS, passes=3)
    before = read_evaluated(folder_of(settings))
    for file in find_work(settings, plan_rows(settings, find_uaps(settings))):
        describe_rows(file.rows)
    after = read_evaluated(folder_of(settings))
    assert after.rows_sha256 == before.rows_sha256
    assert (before.uap.passes, after.uap.passes) == (2, 3)
    assert set(after.uap.snapshots.values()) == {99}
    assert work(settings) == {}


def test_rows_of_fewer_images_never_replace_rows_of_more(settings, capsys):
    before = rows.read_record(folder_of(settings), "predictions")
    assert work(settings, limit=1) == {}
    assert work(settings, limit=1, again=True) == {}
    assert "predictions.csv: the rows of more than 1 test images are up to date; they are kept" in (
        capsys.readouterr().out)
    assert rows.read_record(folder_of(settings), "predictions") == before
    write_test_images(settings, b"PIXELS")
    with pytest.raises(UserError, match="predictions.csv: its rows of 2 test images are out of date"
                                        ", rows of 1 do not replace them; leave --limit out"):
        work(settings, limit=1)


def test_rows_of_more_images_replace_rows_of_fewer(settings):
    write_model(settings, "VGG16", test=TEST + ["c.jpg,BCC"])
    write_test_images(settings, names=["c.jpg"])
    assert work(settings) == ALL


def test_a_limit_on_rows_that_are_not_there_yet_predicts_so_many(settings):
    write_run(settings, "VGG16", "isic2018", seed=3)
    limited = dataclasses.replace(settings, limit=1)
    found = find_work(limited, plan_rows(limited, find_uaps(limited)))
    assert {(os.path.basename(file.rows.folder), file.rows.kind, len(file.rows.test_images.rows))
            for file in found} == {("isic2018", kind, 1) for kind in ALL}
