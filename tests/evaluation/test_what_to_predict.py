"""Which rows evaluate.py would write, from the files of runs and models alone: no model is run."""

import dataclasses
import os

import numpy as np
import pytest

import evaluate
from study_files import (
    planned,
    settings_below,
    with_given_uap,
    write_model,
    write_rows,
    write_run,
    write_test_images,
)
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file
from utils.evaluation import evaluated_uap
from utils.evaluation.what_to_predict import find_uaps, plan_rows


@pytest.fixture
def settings(tmp_path):
    found = settings_below(tmp_path)
    write_test_images(found)
    return found


def test_rows_say_what_they_are_computed_from(settings):
    write_model(settings, "VGG16")
    write_run(settings, "VGG16", "ilsvrc2012")
    files = planned(settings)["VGG16", "ilsvrc2012"]
    curve = files["curve"].perturbations
    assert {name: os.path.basename(uap.path) for name, uap in curve.items()} == {
        "10": "images_0000010.npy", "20": "pass_001.npy", "40": "pass_002.npy"}
    inputs = files["predictions"].description
    assert inputs["snapshots"] == {"10": 1.0, "20": 2.0, "40": 4.0}
    assert inputs["steps"] == {"made": 4, "kept": 1} and inputs["norm_ratio"] == 0.04
    trained = ("weights_from", "recipe", "epochs", "learning_rate", "batch_size")
    assert [inputs[key] for key in trained] == ["random", "study", 10, 0.01, 16]


def test_the_untargeted_uaps_of_a_run_meet_the_models_of_the_same_size(settings):
    for model, size in (("VGG16", 32), ("ResNet50", 32), ("InceptionV3", 33)):
        write_model(settings, model, size)
        write_run(settings, model, "ilsvrc2012", size)
        write_run(settings, model, "to-NV", size, target="NV")
    paths = {model: os.path.join(settings.results_dir, model, "ilsvrc2012", "uap.npy")
             for model in ("VGG16", "ResNet50")}
    found = {key: {name: uap.path for name, uap in files["transfer"].perturbations.items()}
             for key, files in planned(settings).items() if "transfer" in files}
    assert found == {("VGG16", "ilsvrc2012"): {"ResNet50": paths["ResNet50"]},
                     ("ResNet50", "ilsvrc2012"): {"VGG16": paths["VGG16"]}}
    write_model(settings, "ResNet50", test=["c.jpg,NV"])  # VGG16's UAP may be from this image
    assert not any("transfer" in files for files in planned(settings).values())


def test_a_uap_of_a_public_network_meets_every_model_of_its_architecture_and_size(settings):
    for model, size, architecture in (
            ("VGG16", 32, "VGG16"), ("VGG16-b", 32, "VGG16"), ("VGG16-large", 33, "VGG16"),
            ("ResNet50", 32, "ResNet50"), ("VGG16-public", 32, "VGG16")):  # the last not fine-tuned
        write_model(settings, model, size, architecture)
    write_run(settings, "VGG16-public", "none-gd-uap", source="none", attack="gd-uap",
              made_for="VGG16-public", images={"used": 0})
    found = planned(settings)
    assert sorted(found) == [(model, "none-gd-uap-of-VGG16-public")
                             for model in ("VGG16", "VGG16-b")]
    for (model, run), files in found.items():
        assert list(files) == ["predictions"]
        info = files["predictions"].description
        assert files["predictions"].folder == os.path.join(settings.results_dir, model, run)
        assert (info["model"], info["made_for"], info["backbone"], info["attack"]) == (
            model, "VGG16-public", True, "gd-uap")


def test_a_uap_of_a_public_network_that_no_model_came_from_is_named(settings, capsys):
    write_model(settings, "VGG16", 33)
    write_run(settings, "VGG16", "ilsvrc2012", 33)
    write_run(settings, "public", "none-gd-uap", source="none", attack="gd-uap", made_for="public",
              images={"used": 0})
    assert len(planned(settings)) == 1
    assert "public: no VGG16 of 32 px in " in capsys.readouterr().out


def test_a_uap_from_anywhere_meets_the_model_that_is_named(settings, tmp_path):
    write_model(settings, "VGG16")
    file = str(tmp_path / "mine.npy")
    np.save(file, np.full((32, 32, 3), 0.05, np.float32))
    (key, files), = planned(with_given_uap(settings, file)).items()
    info, sha256 = files["predictions"].description, sha256_of_file(file)
    assert key == ("VGG16", "mine-" + sha256[:8]) and list(files) == ["predictions"]
    assert (info["source"], info["attack"], info["made_for"], info["images"]) == (
        "mine", "unknown", None, None)
    assert files["predictions"].control_inputs["norm"] == "inf"


def test_the_model_that_a_given_uap_is_to_meet_must_be_there_also_where_its_rows_are(
        settings, tmp_path):
    write_model(settings, "VGG16")
    file = os.path.join(write_run(settings, "VGG16", "ilsvrc2012"), "uap.npy")
    write_rows(planned(settings)["VGG16", "ilsvrc2012"])
    misspelt = dataclasses.replace(settings, models_dir=str(tmp_path / "modles"))
    for missing in (with_given_uap(misspelt, file), with_given_uap(settings, file, "VGG61")):
        with pytest.raises(UserError, match="(modles/VGG16|models/VGG61).h5: no such"):
            find_uaps(missing)


def test_a_given_uap_never_hides_the_groups_of_a_results_folder(settings, tmp_path):
    write_model(settings, "VGG16")
    file = str(tmp_path / "mine.npy")
    np.save(file, np.full((32, 32, 3), 0.05, np.float32))
    group = dataclasses.replace(settings, results_dir=os.path.join(settings.results_dir, "main"))
    write_run(group, "VGG16", "ilsvrc2012")
    with pytest.raises(UserError, match="results: its runs are in groups"):
        find_uaps(with_given_uap(settings, file))
    others = dataclasses.replace(settings, results_dir=settings.results_dir + "/others/")
    (uap,) = find_uaps(with_given_uap(others, file))
    assert os.path.dirname(uap.folder) == os.path.join(settings.results_dir, "others", "VGG16")


def test_a_model_of_another_tool_in_the_models_folder_is_named_and_left_out(settings, capsys):
    write_model(settings, "VGG16")
    path = os.path.join(settings.models_dir, "keras.json")
    for text, suffix in (('{"class_name": "Model", "config": {}}', ".json"), ("weights", ".h5")):
        with open(os.path.splitext(path)[0] + suffix, "w") as file:
            file.write(text)
    write_run(settings, "public", "none-gd-uap", source="none", attack="gd-uap", made_for="public",
              images={"used": 0})
    assert list(planned(settings)) == [("VGG16", "none-gd-uap-of-public")]
    assert path + ": foreign, train_model.py did not write it" in capsys.readouterr().out


def test_the_report_shows_no_image_but_those_that_the_rows_are_of(settings, capsys):
    write_model(settings, "VGG16")
    write_run(settings, "VGG16", "ilsvrc2012")
    write_rows(planned(settings)["VGG16", "ilsvrc2012"])
    (folder,) = evaluated_uap.find(settings.results_dir)
    uap = evaluated_uap.read_evaluated(folder)

    def are_at_hand(of=uap):
        return evaluate.ImagesOfRows(settings.data_dir, []).are_at_hand(of)

    assert are_at_hand() and capsys.readouterr().out == ""
    write_test_images(settings, b"PIXELS")
    assert not are_at_hand()
    assert "data/x: other images than those that VGG16 was evaluated on" in (
        capsys.readouterr().out)
    assert are_at_hand(dataclasses.replace(uap, test_images_sha256=None))  # of an earlier version
    os.remove(os.path.join(settings.data_dir, "x", "a.jpg"))
    assert not are_at_hand() and capsys.readouterr().out == ""


def test_a_uap_of_the_model_itself_from_elsewhere_takes_no_run_s_place(settings):
    write_model(settings, "VGG16")
    own = write_run(settings, "VGG16", "ilsvrc2012")
    file = os.path.join(own, "uap.npy")
    assert list(planned(with_given_uap(settings, file))) == [("VGG16", "ilsvrc2012")]
    others = dataclasses.replace(settings, results_dir=settings.results_dir + "-of-others")
    (key, files), = planned(with_given_uap(others, file)).items()
    assert key == ("VGG16", "ilsvrc2012-" + sha256_of_file(file)[:8])
    assert files["predictions"].folder.startswith(others.results_dir)
    assert files["predictions"].description["made_for"] == "VGG16"


def test_rows_of_a_uap_from_elsewhere_are_left_out_once_the_test_images_are_others(
        settings, tmp_path, capsys):
    write_model(settings, "VGG16")
    file = str(tmp_path / "mine.npy")
    np.save(file, np.full((32, 32, 3), 0.05, np.float32))
    (files,) = planned(with_given_uap(settings, file)).values()
    write_rows(files)
    (folder,) = evaluated_uap.find(settings.results_dir)
    assert list(evaluate.read_kept_rows(settings, [], [])) == [folder]
    write_test_images(settings, b"PIXELS")
    assert evaluate.read_kept_rows(settings, [], []) == {}
    assert "left out, these rows are of other test images than there are now" in (
        capsys.readouterr().out)
    os.remove(os.path.join(settings.models_dir, "VGG16.h5"))  # nothing to compare them with
    assert list(evaluate.read_kept_rows(settings, [], [])) == [folder]


def test_a_uap_for_other_weights_of_the_same_name_is_never_the_model_s_own(settings):
    write_model(settings, "VGG16", weights="old")
    folder = write_run(settings, "VGG16", "ilsvrc2012")
    write_rows(planned(settings)["VGG16", "ilsvrc2012"])
    old = sha256_of_file(os.path.join(settings.models_dir, "VGG16.h5"))[:8]
    write_model(settings, "VGG16", weights="new")
    with pytest.raises(UserError, match="made for other weights, not for .*VGG16.h5"):
        planned(settings)
    (key, files), = planned(dataclasses.replace(settings, allow_mismatch=True)).items()
    assert key == ("VGG16", "ilsvrc2012-of-VGG16-" + old)
    assert files["predictions"].description["made_for"] == "VGG16-" + old
    write_rows(files)
    kept = evaluate.read_kept_rows(settings, list(files.values()), [])
    assert folder not in kept
    assert [uap.uap.name for uap in kept.values()] == ["ilsvrc2012-of-VGG16-" + old]


def test_rows_of_a_model_that_is_not_there_are_taken_as_they_are(settings, capsys):
    write_model(settings, "VGG16")
    folder = write_run(settings, "VGG16", "ilsvrc2012")
    write_rows(planned(settings)["VGG16", "ilsvrc2012"])
    os.remove(os.path.join(settings.models_dir, "VGG16.h5"))
    assert planned(settings) == {}
    assert folder + " are taken as they are" in capsys.readouterr().out
    os.remove(os.path.join(folder, "predictions.json"))
    with pytest.raises(UserError, match="VGG16.h5: no such model file"):
        planned(settings)


def test_a_snapshot_over_the_bound_is_refused(settings):
    write_model(settings, "VGG16")
    folder = write_run(settings, "VGG16", "ilsvrc2012")
    np.save(os.path.join(folder, "snapshots", "pass_001.npy"), np.ones((32, 32, 3), np.float32))
    with pytest.raises(UserError, match="pass_001.npy: its inf-norm is 1, the bound is 0.1"):
        planned(settings)


def test_groups_of_results_are_one_level_more_and_keep_their_rows(settings):
    """Such as main/ and repeats/: <results>/<group>/<model>/<run>/."""
    write_model(settings, "VGG16")
    write_model(settings, "VGG16-other")
    for seed, group in enumerate(("main", "repeats")):
        below = dataclasses.replace(settings, results_dir=os.path.join(settings.results_dir, group))
        write_run(below, "VGG16", "ilsvrc2012", seed=seed)
    write_run(below, "public", "none-gd-uap", source="none", attack="gd-uap", made_for="public",
              images={"used": 0})
    files = plan_rows(settings, find_uaps(settings))
    expected = {os.path.join(settings.results_dir, *path) for path in (
        ("main", "VGG16", "ilsvrc2012"), ("repeats", "VGG16", "ilsvrc2012"),
        ("repeats", "VGG16", "none-gd-uap-of-public"),
        ("repeats", "VGG16-other", "none-gd-uap-of-public"))}
    assert {file.folder for file in files} == expected
    for file in files:
        write_rows({file.kind: file})
    assert set(evaluated_uap.find(settings.results_dir)) == expected
    given = with_given_uap(settings, os.path.join(below.results_dir, "VGG16", "ilsvrc2012",
                                                  "uap.npy"))
    assert {file.folder for file in plan_rows(given, find_uaps(given))} == {
        os.path.join(below.results_dir, "VGG16", "ilsvrc2012")}


def test_classifiers_of_one_name_and_other_weights_never_meet_in_a_table(settings):
    for group in ("main", "repeats"):
        below = dataclasses.replace(settings, results_dir=os.path.join(settings.results_dir, group))
        write_model(settings, "VGG16", weights=group)
        write_run(below, "VGG16", "ilsvrc2012")
        write_rows(planned(below)["VGG16", "ilsvrc2012"])
    folders = evaluated_uap.find(settings.results_dir)
    found = [(folder, evaluated_uap.read_evaluated(folder).classifier) for folder in folders]
    assert len(found) == 2
    with pytest.raises(UserError, match="repeats/VGG16/ilsvrc2012: rows of a classifier VGG16 with "
                                        "other weights than that of .*main/VGG16/ilsvrc2012"):
        evaluated_uap.require_one_classifier_of_each_name(found)
    evaluated_uap.require_one_classifier_of_each_name(found[:1] * 2)
    os.remove(os.path.join(settings.models_dir, "VGG16.json"))
    with pytest.raises(UserError, match="evaluate the two by themselves with --results-dir"):
        evaluate.read_kept_rows(settings, [], [])


def test_a_model_file_of_the_same_name_from_elsewhere_never_meets_the_rows_of_the_other(
        settings, tmp_path):
    write_model(settings, "VGG16")
    write_run(settings, "VGG16", "ilsvrc2012")
    write_rows(planned(settings)["VGG16", "ilsvrc2012"])
    elsewhere = dataclasses.replace(settings, models_dir=str(tmp_path / "elsewhere"))
    write_model(elsewhere, "VGG16", weights="others")
    file = str(tmp_path / "mine.npy")
    np.save(file, np.full((32, 32, 3), 0.05, np.float32))
    given = dataclasses.replace(settings, uap=with_given_uap(elsewhere, file).uap)
    with pytest.raises(UserError, match="rows of a classifier VGG16 with other weights than that"):
        evaluate.read_kept_rows(given, plan_rows(given, find_uaps(given)), [])


def test_a_group_beside_runs_is_another_results_folder(settings):
    """results/ holds runs, and results/reproduction/ is none of them."""
    write_model(settings, "VGG16")
    write_run(settings, "VGG16", "ilsvrc2012")
    below = dataclasses.replace(settings,
                                results_dir=os.path.join(settings.results_dir, "reproduction"))
    write_run(below, "VGG16", "isic2018")
    assert list(planned(settings)) == [("VGG16", "ilsvrc2012")]
    assert list(planned(below)) == [("VGG16", "isic2018")]
