"""--uap: a UAP from elsewhere is in the units that are stated, and within a bound."""

import json
import os

import numpy as np
import pytest

from study_files import (
    MEAN_NORMS,
    perturbation,
    planned,
    settings_below,
    with_given_uap,
    write_model,
    write_run,
    write_test_images,
)
from utils.common.errors import UserError

LEVELS = 12.0  # the largest change of UAP; the study's bound is 10
UAP = perturbation() * np.float32(LEVELS / 128 / abs(perturbation()).max())
ATTACKED_IMAGE = np.random.RandomState(0).uniform(-1, 1, UAP.shape).astype(np.float32)


@pytest.fixture
def settings(tmp_path):
    found = settings_below(tmp_path)
    write_test_images(found)
    write_model(found, "VGG16")
    return found


@pytest.fixture
def plan(settings, tmp_path):
    """What there is to be said of the UAP of an array."""
    def plan_of(v, **options):
        path = str(tmp_path / "mine.npy")
        np.save(path, v.astype(np.float32))
        (files,) = planned(with_given_uap(settings, path, **options)).values()
        return files["predictions"]
    return plan_of


@pytest.mark.parametrize("unit, v", [
    ("model", UAP), ("255", UAP * 128), ("1", UAP * np.float32(128 / 255))])
def test_the_largest_change_and_the_bound_are_said_in_grey_levels(plan, capsys, unit, v):
    file = plan(v, unit=unit)
    assert file.description["largest_change"] == pytest.approx(LEVELS, rel=1e-6)
    assert file.description["norm_bound"] == pytest.approx(0.04 * MEAN_NORMS["inf"] / 128)
    assert file.description["bound_from"] == "the study's ratio"
    assert file.inputs["uap_unit"] == unit
    assert ("mine.npy: its largest change is 12 grey levels; its inf-norm is 12 grey levels, the "
            "bound is 10 (of the study's ratio)") in capsys.readouterr().out


@pytest.mark.parametrize("v, unit, caution", [
    (UAP, "model", "of 128 grey levels, it is beyond the bound: make sure of --uap-unit"),
    (UAP / 128, "model", "of 128 grey levels, it changes no image by one level: make sure of"),
    (UAP / 2, "model", "; read in model-input units of 128 grey levels\n"),
    (UAP * 64, "255", "; read in grey levels\n"),
    (UAP / 4, "1", "; read in shares of the range of 255 grey levels\n")])
def test_the_unit_that_a_file_is_read_in_is_said_and_doubted_where_the_size_is_unusual(
        plan, capsys, v, unit, caution):
    plan(v, unit=unit)
    assert caution in capsys.readouterr().out


def test_a_bound_that_is_given_is_the_one_that_it_is_compared_with(plan, capsys):
    file = plan(UAP, norm_bound=LEVELS)
    assert (file.description["norm_bound"], file.description["bound_from"]) == (
        LEVELS / 128, "--norm-bound")
    assert "the bound is 12 (of --norm-bound)" in capsys.readouterr().out
    with pytest.raises(UserError, match="mine.npy: its inf-norm is 12 grey levels, --norm-bound is "
                                        "11.9; state the bound that it was made with, or with "
                                        "--uap-unit what the file is in"):
        plan(UAP, norm_bound=11.9)


def test_a_bound_of_the_2_norm_is_that_of_the_vector_of_all_grey_levels(plan):
    size = float(np.linalg.norm(UAP.astype(float).ravel() * 128))
    file = plan(UAP, norm=2, norm_bound=size)
    assert file.description["norm_bound"] == pytest.approx(size / 128)
    with pytest.raises(UserError, match="its 2-norm is .* grey levels, --norm-bound is"):
        plan(UAP, norm=2, norm_bound=0.99 * size)
    assert plan(UAP * np.float32(0.1), norm=2).description["norm_bound"] == pytest.approx(
        0.04 * MEAN_NORMS["2"] / 128)


@pytest.mark.parametrize("v, options", [
    (UAP * 128, {}),                       # grey levels, read as model-input units
    (UAP * 128, {"unit": "1"}),
    (UAP * 128, {"norm_bound": 2000.0}),   # whatever bound is given
    (ATTACKED_IMAGE * 128 + 128, {"unit": "255", "norm_bound": 300.0})])
def test_no_uap_changes_an_image_by_more_than_255_grey_levels(plan, v, options):
    v = v if np.abs(v).max() < 128 else v * 2
    with pytest.raises(UserError, match="mine.npy: its largest change is .* no image can change by "
                                        "more than 255; say with --uap-unit what the file is in"):
        plan(v, **options)


@pytest.mark.parametrize("v, options", [
    (ATTACKED_IMAGE, {}), (ATTACKED_IMAGE / 2 + 0.5, {"unit": "1"}),
    (ATTACKED_IMAGE * 127 + 127, {"unit": "255"}), (ATTACKED_IMAGE, {"norm": 2}),
    (UAP * np.float32(128 / 255 / 0.225 * 1.2), {})])  # in the units of a normalising library
def test_what_is_far_beyond_the_study_s_bound_is_refused_without_another_one(plan, v, options):
    with pytest.raises(UserError, match="mine.npy: its .*-norm is .* grey levels, .* more than 3 "
                                        "times the study's bound .*--uap-unit.* x \\+ v, save v "
                                        "alone; or state its bound with --norm-bound"):
        plan(v, **options)


def test_a_large_uap_is_taken_where_its_bound_is_stated(plan):
    assert plan(UAP * 8, norm_bound=8 * LEVELS).description["largest_change"] == pytest.approx(96)


def test_a_uap_of_make_uap_is_compared_with_its_own_bound_in_its_own_units(settings):
    folder = write_run(settings, "VGG16", "ilsvrc2012")
    file = os.path.join(folder, "uap.npy")
    (files,) = planned(with_given_uap(settings, file)).values()
    said = files["predictions"].description
    assert (said["norm_bound"], said["bound_from"]) == (0.1, "run.json")
    assert said["largest_change"] == pytest.approx(
        abs(np.load(file)).max() * 128, abs=1e-5)
    with pytest.raises(UserError, match="uap.npy: the run.json beside it .* leave --uap-unit out"):
        planned(with_given_uap(settings, file, unit="255"))
    with pytest.raises(UserError, match="its inf-norm is .* grey levels, --norm-bound is 5"):
        planned(with_given_uap(settings, file, norm_bound=5.0))


FOREIGN = {"of another tool": json.dumps({"model": "resnet50", "norm": "l2", "steps": 5}),
           "empty": "{}", "a list": "[1, 2]", "with NaN": '{"loss": NaN}', "no JSON": "run: 5\n",
           "nested deep": "[" * 100000, "a number too large": '{"loss": 1e400}'}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_run_json_beside_a_uap_is_said_to_be_foreign_and_treated_as_absent(
        plan, tmp_path, capsys, text):
    expected = plan(UAP)
    (tmp_path / "run.json").write_text(text)
    assert plan(UAP).description == expected.description
    assert "run.json: foreign, make_uap.py did not write it; treated as absent" in (
        capsys.readouterr().out)


def test_a_damaged_run_json_of_make_uap_is_not_taken_for_a_foreign_one(plan, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"uap": {}, "made_for": None}))
    with pytest.raises(UserError, match="run.json: .*required property"):
        plan(UAP)


def test_a_foreign_run_json_among_the_results_is_left_out_and_an_empty_one_refused(
        settings, capsys):
    write_run(settings, "VGG16", "ilsvrc2012")
    folder = os.path.join(settings.results_dir, "VGG16", "foreign")
    os.makedirs(folder)
    for text in (FOREIGN["of another tool"], "{}"):
        with open(os.path.join(folder, "run.json"), "w") as file:
            file.write(text)
        if text == "{}":
            with pytest.raises(UserError, match="run.json: .*required property"):
                planned(settings)
        else:
            assert list(planned(settings)) == [("VGG16", "ilsvrc2012")]
            assert "foreign/run.json: foreign, make_uap.py did not write it" in (
                capsys.readouterr().out)


@pytest.mark.parametrize("field, value", [("made_for", "../../victim"), ("model", "../x")])
def test_a_name_in_run_json_never_leads_to_another_folder(settings, field, value):
    folder = write_run(settings, "VGG16", "ilsvrc2012")
    with open(os.path.join(folder, "run.json")) as file:
        values = json.load(file)
    if field == "model":
        values["model"]["name"] = value
    else:
        values[field] = value
    with open(os.path.join(folder, "run.json"), "w") as file:
        json.dump(values, file)
    with pytest.raises(UserError, match="the name '.*' is no plain name but a path"):
        planned(settings)
    with pytest.raises(UserError, match="the name '.*' is no plain name but a path"):
        planned(with_given_uap(settings, os.path.join(folder, "uap.npy")))
