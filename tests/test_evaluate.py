"""Which rows evaluate.py would write, from the files of runs and models alone: no model is run."""

import argparse
import os

import numpy as np
import pytest

import checkout
import evaluate
from utils import rows
from utils.classifier import SCALING
from utils.errors import UserError
from utils.files import sha256_of_file, sha256_of_lines
from utils.json_files import write_json

TEST = ["a.jpg,NV", "b.jpg,MEL"]


@pytest.fixture
def args(tmp_path):
    return argparse.Namespace(
        uap=None, model_file=None, models_dir=str(tmp_path / "models"), limit=None, seed=0,
        results_dir=str(tmp_path / "results"), again=False, allow_mismatch=False, norm="inf")


def write_model(args, name, size=8, architecture="VGG16"):
    """The files of a model, its weights not among them."""
    path = os.path.join(args.models_dir, name)
    os.makedirs(path)
    for file, text in ((path + ".h5", name), (os.path.join(path, "test.csv"),
                                              "".join(line + "\n" for line in TEST))):
        with open(file, "w") as opened:
            opened.write(text)
    write_json(path + ".json", {
        "architecture": architecture, "class_names": list(checkout.CLASSES), "image_size": size,
        "mean_norms": {"2": 1, "inf": 1}, "scaling": SCALING, "image_folder": "x", "grey": False,
        "resize": "bilinear",
        "split": {side: {"images": 2, "sha256": sha256_of_lines(TEST)}
                  for side in ("train", "test")}, "weights_from": "random", "identity": {},
        "weights": {"sha256": sha256_of_file(path + ".h5")}})


def write_run(args, model, run, size=8, seed=0, **changes):
    """The files that make_uap.py leaves; three snapshots, of which two were after 20 images."""
    folder = os.path.join(args.results_dir, model, run)
    os.makedirs(os.path.join(folder, "snapshots"), exist_ok=True)
    v = np.random.RandomState(seed).uniform(-0.1, 0.1, (size, size, 3)).astype(np.float32)
    shown = {"images_0000010": 10, "images_0000020": 20, "pass_001": 20, "pass_002": 40}
    for name in [os.path.join("snapshots", name) for name in shown] + ["uap"]:
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
            name: {"images": n, "seconds": n / 10} for name, n in shown.items()}}, **changes))
    return folder


def outdated(args):
    """The rows files to write, by model."""
    attacked = evaluate.attacked_models(args)
    return {model.name: evaluate.outdated_rows(args, model, uaps, attacked)
            for model, uaps in attacked}


def write_rows(file):
    """Rows as evaluate.py would write them for a RowsFile, every class the first."""
    names = rows.COLUMNS["predictions"] if file.kind == "predictions" else ["file"] + list(
        file.perturbations)
    rows.write(file.folder, file.kind, {name: ["NV"] * 2 for name in names}, file.inputs,
               {"finished": "now"})


def test_snapshots_are_ordered_by_the_images_shown_over_all_passes(args):
    write_model(args, "VGG16")
    write_run(args, "VGG16", "ilsvrc2012")
    predictions, curve = outdated(args)["VGG16"]
    assert [(name, os.path.basename(path)) for name, path in curve.perturbations.items()] == [
        ("10", "images_0000010.npy"), ("20", "pass_001.npy"), ("40", "pass_002.npy")]
    assert predictions.inputs["snapshots"] == {"10": 1.0, "20": 2.0, "40": 4.0}
    assert predictions.inputs["steps"] == {"made": 4, "kept": 1}
    assert predictions.inputs["norm_ratio"] == 0.04
    assert predictions.inputs["weights_from"] == "random"


@pytest.mark.parametrize("changes, kinds", [
    (dict(), []), (dict(seed=1), ["predictions", "curve"]), (dict(passes=3), ["predictions"])])
def test_rows_are_kept_as_long_as_nothing_changed_that_they_say(args, changes, kinds):
    write_model(args, "VGG16")
    write_run(args, "VGG16", "ilsvrc2012")
    for file in outdated(args)["VGG16"]:
        write_rows(file)
    write_run(args, "VGG16", "ilsvrc2012", **changes)
    assert [file.kind for file in outdated(args)["VGG16"]] == kinds
    args.again = True
    assert [file.kind for file in outdated(args)["VGG16"]] == ["predictions", "curve"]


def test_the_untargeted_uaps_of_a_run_meet_the_models_of_the_same_size(args):
    for model, size in (("VGG16", 8), ("ResNet50", 8), ("InceptionV3", 9)):
        write_model(args, model, size)
        write_run(args, model, "ilsvrc2012", size)
        write_run(args, model, "to-NV", size, target="NV")
    found = {(model, os.path.basename(file.folder)): list(file.perturbations.items())
             for model, files in outdated(args).items() for file in files
             if file.kind == "transfer"}
    path = os.path.join(args.results_dir, "{}", "ilsvrc2012", "uap.npy")
    assert {key: value for key, value in found.items() if key[1] == "ilsvrc2012"} == {
        ("VGG16", "ilsvrc2012"): [("ResNet50", path.format("ResNet50"))],
        ("ResNet50", "ilsvrc2012"): [("VGG16", path.format("VGG16"))]}
    assert len(found) == 2


def test_a_uap_of_a_public_network_meets_every_model_of_its_architecture_and_size(args):
    for model, size, architecture in (
            ("VGG16", 8, "VGG16"), ("VGG16-b", 8, "VGG16"), ("VGG16-large", 9, "VGG16"),
            ("ResNet50", 8, "ResNet50"), ("VGG16-public", 8, "VGG16")):  # the last not fine-tuned
        write_model(args, model, size, architecture)
    write_run(args, "VGG16-public", "none-gd-uap", source="none", attack="gd-uap",
              made_for="VGG16-public", images={"used": 0})
    found = outdated(args)
    assert sorted(found) == ["VGG16", "VGG16-b"]
    for model, (file,) in found.items():
        assert file.folder == os.path.join(args.results_dir, model, "none-gd-uap-of-VGG16-public")
        info = file.inputs
        assert (info["model"], info["made_for"], info["backbone"], info["attack"]) == (
            model, "VGG16-public", True, "gd-uap")


def test_rows_of_a_model_that_is_not_there_are_taken_as_they_are(args, capsys):
    write_model(args, "VGG16")
    folder = write_run(args, "VGG16", "ilsvrc2012")
    for file in outdated(args)["VGG16"]:
        write_rows(file)
    os.remove(os.path.join(args.models_dir, "VGG16.h5"))
    assert outdated(args) == {}
    assert folder + " are taken as they are" in capsys.readouterr().out
    os.remove(os.path.join(folder, "predictions.json"))
    with pytest.raises(UserError, match="VGG16.h5: no such model file"):
        outdated(args)


def test_a_snapshot_over_the_bound_is_refused(args):
    write_model(args, "VGG16")
    folder = write_run(args, "VGG16", "ilsvrc2012")
    np.save(os.path.join(folder, "snapshots", "pass_001.npy"), np.ones((8, 8, 3), np.float32))
    with pytest.raises(UserError, match="pass_001.npy: its inf-norm is 1, the bound is 0.1"):
        outdated(args)


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
