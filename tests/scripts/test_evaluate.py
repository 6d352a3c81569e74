"""Which rows evaluate.py would write, from the files of runs and models alone: no model is run."""

import argparse
import os

import numpy as np
import pytest

import checkout
import evaluate
from utils.classifier.architectures import SCALING
from utils.common.errors import UserError
from utils.common.hashes import sha256_of_file, sha256_of_lines
from utils.common.json_files import write_json
from utils.evaluation import evaluated_uap, planned_rows, rows

TEST = ["a.jpg,NV", "b.jpg,MEL"]
SHOWN = {"images_0000010": 10, "images_0000020": 20, "pass_001": 20, "pass_002": 40}


@pytest.fixture
def args(tmp_path):
    return argparse.Namespace(
        uap=None, model_file=None, models_dir=str(tmp_path / "models"), limit=None, seed=0,
        results_dir=str(tmp_path / "results"), allow_mismatch=False, norm="inf")


def write_model(args, name, size=8, architecture="VGG16", weights=None, test=TEST):
    """The files of a model, its weights not among them."""
    path = os.path.join(args.models_dir, name)
    os.makedirs(path, exist_ok=True)
    for file, text in ((path + ".h5", weights or name), (os.path.join(path, "test.csv"),
                                                         "".join(line + "\n" for line in test))):
        with open(file, "w") as opened:
            opened.write(text)
    write_json(path + ".json", {
        "architecture": architecture, "class_names": list(checkout.CLASSES), "image_size": size,
        "mean_norms": {"2": 1, "inf": 1}, "scaling": SCALING, "image_folder": "x", "grey": False,
        "resize": "bilinear", "epochs": 10,
        "split": {side: {"images": 2, "sha256": sha256_of_lines(test)}
                  for side in ("train", "test")}, "weights_from": "random",
        "identity": {"recipe": "study", "learning_rate": 0.01, "batch_size": 16},
        "weights": {"sha256": sha256_of_file(path + ".h5")}})


def write_run(args, model, run, size=8, seed=0, **changes):
    """The files that make_uap.py leaves; three snapshots, of which two were after 20 images."""
    folder = os.path.join(args.results_dir, model, run)
    os.makedirs(os.path.join(folder, "snapshots"), exist_ok=True)
    v = np.random.RandomState(seed).uniform(-0.1, 0.1, (size, size, 3)).astype(np.float32)
    for name in [os.path.join("snapshots", name) for name in SHOWN] + ["uap"]:
        np.save(os.path.join(folder, name + ".npy"), v)
    h5 = os.path.join(args.models_dir, model + ".h5")
    write_json(os.path.join(folder, "run.json"), dict({
        "model": {"name": model, "sha256": sha256_of_file(h5) if os.path.exists(h5) else "f" * 64,
                  "architecture": "VGG16", "image_size": size, "scaling": SCALING},
        "uap": {"sha256": sha256_of_file(os.path.join(folder, "uap.npy"))}, "source": "ilsvrc2012",
        "made_for": None, "attack": "deepfool", "target": None,
        "norm": {"p": "inf", "ratio": 0.04, "bound": 0.1},
        "images": {"used": 20}, "passes": 2, "identity": {"seed": seed}, "seconds": 4.0,
        "steps": {"made": 4, "kept": 1}, "snapshots": {
            name: {"images": n, "seconds": n / 10} for name, n in SHOWN.items()}}, **changes))
    return folder


def planned(args):
    """All rows files there are to be: dict from the model and the folder's name to kind to file."""
    found = {}
    for file in planned_rows.rows_files(args, planned_rows.find_uaps(args)):
        found.setdefault((file.model.name, os.path.basename(file.folder)), {})[file.kind] = file
    return found


def write_rows(files):
    """Rows as evaluate.py would write them, every class the first."""
    for kind, file in files.items():
        names = rows.COLUMNS["predictions"] if kind == "predictions" else ["file"] + list(
            file.perturbations)
        rows.write(file.folder, kind, {name: ["NV"] * 2 for name in names}, file.inputs, {})


def test_rows_say_what_they_are_computed_from(args):
    write_model(args, "VGG16")
    write_run(args, "VGG16", "ilsvrc2012")
    files = planned(args)["VGG16", "ilsvrc2012"]
    curve = files["curve"].perturbations
    assert {name: os.path.basename(path) for name, path in curve.items()} == {
        "10": "images_0000010.npy", "20": "pass_001.npy", "40": "pass_002.npy"}
    inputs = files["predictions"].inputs
    assert inputs["snapshots"] == {"10": 1.0, "20": 2.0, "40": 4.0}
    assert inputs["steps"] == {"made": 4, "kept": 1} and inputs["norm_ratio"] == 0.04
    trained = ("weights_from", "recipe", "epochs", "learning_rate", "batch_size")
    assert [inputs[key] for key in trained] == ["random", "study", 10, 0.01, 16]


@pytest.mark.parametrize("changes, outdated", [
    (dict(), set()), (dict(seed=1), {"predictions", "curve"}), (dict(passes=3), {"predictions"}),
    (dict(snapshots={"pass_001": {"images": 20, "seconds": 99}}), {"predictions", "curve"}),
    (dict(snapshots={name: {"images": n, "seconds": 99} for name, n in SHOWN.items()}),
     {"predictions"})])
def test_rows_are_kept_as_long_as_nothing_changed_that_they_depend_on(args, changes, outdated):
    write_model(args, "VGG16")
    write_run(args, "VGG16", "ilsvrc2012")
    write_rows(planned(args)["VGG16", "ilsvrc2012"])
    write_run(args, "VGG16", "ilsvrc2012", **changes)
    assert {kind for kind, file in planned(args)["VGG16", "ilsvrc2012"].items()
            if not rows.up_to_date(file.folder, kind, file.inputs)} == outdated


def test_the_untargeted_uaps_of_a_run_meet_the_models_of_the_same_size(args):
    for model, size in (("VGG16", 8), ("ResNet50", 8), ("InceptionV3", 9)):
        write_model(args, model, size)
        write_run(args, model, "ilsvrc2012", size)
        write_run(args, model, "to-NV", size, target="NV")
    path = os.path.join(args.results_dir, "{}", "ilsvrc2012", "uap.npy")
    found = {key: files["transfer"].perturbations for key, files in planned(args).items()
             if "transfer" in files}
    assert found == {("VGG16", "ilsvrc2012"): {"ResNet50": path.format("ResNet50")},
                     ("ResNet50", "ilsvrc2012"): {"VGG16": path.format("VGG16")}}
    write_model(args, "ResNet50", test=["c.jpg,NV"])  # VGG16's UAP may be from this image
    assert not any("transfer" in files for files in planned(args).values())


def test_a_uap_of_a_public_network_meets_every_model_of_its_architecture_and_size(args):
    for model, size, architecture in (
            ("VGG16", 8, "VGG16"), ("VGG16-b", 8, "VGG16"), ("VGG16-large", 9, "VGG16"),
            ("ResNet50", 8, "ResNet50"), ("VGG16-public", 8, "VGG16")):  # the last not fine-tuned
        write_model(args, model, size, architecture)
    write_run(args, "VGG16-public", "none-gd-uap", source="none", attack="gd-uap",
              made_for="VGG16-public", images={"used": 0})
    found = planned(args)
    assert sorted(found) == [(model, "none-gd-uap-of-VGG16-public")
                             for model in ("VGG16", "VGG16-b")]
    for (model, run), files in found.items():
        assert list(files) == ["predictions"]
        info = files["predictions"].inputs
        assert files["predictions"].folder == os.path.join(args.results_dir, model, run)
        assert (info["model"], info["made_for"], info["backbone"], info["attack"]) == (
            model, "VGG16-public", True, "gd-uap")


def test_a_uap_of_a_public_network_that_no_model_came_from_is_named(args, capsys):
    write_model(args, "VGG16", 9)
    write_run(args, "VGG16", "ilsvrc2012", 9)
    write_run(args, "public", "none-gd-uap", source="none", attack="gd-uap", made_for="public",
              images={"used": 0})
    assert len(planned(args)) == 1
    assert "public: no VGG16 of 8 px in " in capsys.readouterr().out


def test_a_uap_from_anywhere_meets_the_model_that_is_named(args, tmp_path):
    write_model(args, "VGG16")
    args.uap = str(tmp_path / "mine.npy")
    args.model_file = os.path.join(args.models_dir, "VGG16.h5")
    np.save(args.uap, np.ones((8, 8, 3), np.float32))
    (key, files), = planned(args).items()
    info, sha256 = files["predictions"].inputs, sha256_of_file(args.uap)
    assert key == ("VGG16", "mine-" + sha256[:8]) and list(files) == ["predictions"]
    assert (info["source"], info["attack"], info["norm"], info["made_for"], info["images"]) == (
        "mine", "unknown", "inf", None, None)


def test_a_uap_of_the_model_itself_from_elsewhere_is_beside_the_runs_and_in_no_one_s_place(args):
    write_model(args, "VGG16")
    own = write_run(args, "VGG16", "ilsvrc2012")
    args.model_file = os.path.join(args.models_dir, "VGG16.h5")
    args.uap = os.path.join(own, "uap.npy")
    assert list(planned(args)) == [("VGG16", "ilsvrc2012")]
    args.results_dir += "-of-others"
    (key, files), = planned(args).items()
    assert key == ("VGG16", "ilsvrc2012-" + sha256_of_file(args.uap)[:8])
    assert files["predictions"].folder.startswith(args.results_dir)
    assert files["predictions"].inputs["made_for"] == "VGG16"


def test_a_uap_for_other_weights_of_the_same_name_is_never_the_model_s_own(args):
    write_model(args, "VGG16", weights="old")
    folder = write_run(args, "VGG16", "ilsvrc2012")
    write_rows(planned(args)["VGG16", "ilsvrc2012"])
    old = sha256_of_file(os.path.join(args.models_dir, "VGG16.h5"))[:8]
    write_model(args, "VGG16", weights="new")
    with pytest.raises(UserError, match="made for other weights, not for .*VGG16.h5"):
        planned(args)
    args.allow_mismatch = True
    (key, files), = planned(args).items()
    assert key == ("VGG16", "ilsvrc2012-of-VGG16-" + old)
    assert files["predictions"].inputs["made_for"] == "VGG16-" + old
    assert not evaluate.is_current(args, evaluated_uap.read_evaluated(folder))
    write_rows(files)
    assert evaluate.is_current(args, evaluated_uap.read_evaluated(files["predictions"].folder))


def test_rows_of_a_model_that_is_not_there_are_taken_as_they_are(args, capsys):
    write_model(args, "VGG16")
    folder = write_run(args, "VGG16", "ilsvrc2012")
    write_rows(planned(args)["VGG16", "ilsvrc2012"])
    os.remove(os.path.join(args.models_dir, "VGG16.h5"))
    assert planned(args) == {}
    assert folder + " are taken as they are" in capsys.readouterr().out
    os.remove(os.path.join(folder, "predictions.json"))
    with pytest.raises(UserError, match="VGG16.h5: no such model file"):
        planned(args)


def test_a_snapshot_over_the_bound_is_refused(args):
    write_model(args, "VGG16")
    folder = write_run(args, "VGG16", "ilsvrc2012")
    np.save(os.path.join(folder, "snapshots", "pass_001.npy"), np.ones((8, 8, 3), np.float32))
    with pytest.raises(UserError, match="pass_001.npy: its inf-norm is 1, the bound is 0.1"):
        planned(args)


@pytest.mark.parametrize("off, code", [([], None), (["VGG16/x: 1.0 %, expected 9.0"], 1)])
def test_rates_that_are_not_as_expected_end_the_script_with_exit_code_1(args, capsys, off, code):
    args.expect, args.tolerance = "expected.csv", 5.0
    try:
        evaluate.check_expected(args, 3, off)
        assert code is None
    except SystemExit as end:
        assert end.code == code
    out, errors = capsys.readouterr()
    assert "{} of 3 rates are within 5 points".format(3 - len(off)) in out
    assert errors == "".join(line + "\n" for line in off)
    with pytest.raises(UserError, match="none of its rates"):
        evaluate.check_expected(args, 0, [])
