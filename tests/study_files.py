"""The files of small models and runs, as train_model.py and make_uap.py leave them, without any
network: for tests of what evaluate.py finds in them."""

import dataclasses
import os

import numpy as np

import checkout
from utils.classifier.architectures import SCALING
from utils.common.hashes import sha256_of_file, sha256_of_lines
from utils.common.json_files import write_json
from utils.evaluation import rows
from utils.evaluation.settings import EvaluationSettings, GivenUap
from utils.evaluation.what_to_predict import find_uaps, plan_rows

TEST = ["a.jpg,NV", "b.jpg,MEL"]
SHOWN = {"images_0000010": 10, "images_0000020": 20, "pass_001": 20, "pass_002": 40}
SIZE = 32  # of the images, in pixels
MEAN_NORMS = {"2": 8000.0, "inf": 250.0}  # grey levels; the study's bound is 0.04 of them


def settings_below(folder):
    """The settings of `python evaluate.py` in a folder."""
    return EvaluationSettings(
        data_dir=str(folder / "data"), models_dir=str(folder / "models"),
        results_dir=str(folder / "results"), batch_size=32, seed=0, device="cpu", uap=None,
        limit=None, again=False, allow_mismatch=False, note=None, promises_file=None,
        expected_rates_file=None, tolerance=5.0)


def with_given_uap(settings, file, model="VGG16", norm=np.inf, norm_bound=None, unit="model"):
    """The same with --uap."""
    return dataclasses.replace(settings, uap=GivenUap(
        file=str(file), model_file=os.path.join(settings.models_dir, model + ".h5"), norm=norm,
        norm_bound=norm_bound, unit=unit))


def write_test_images(settings, content=b"pixels", names=("a.jpg", "b.jpg")):
    """Files for the test images; nothing here decodes them."""
    folder = os.path.join(settings.data_dir, "x")
    os.makedirs(folder, exist_ok=True)
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


def write_model(settings, name, size=SIZE, architecture="VGG16", weights=None, test=TEST):
    """The files of a model; its weights are a text."""
    path = os.path.join(settings.models_dir, name)
    os.makedirs(path, exist_ok=True)
    for file, text in ((path + ".h5", weights or name), (os.path.join(path, "test.csv"),
                                                         "".join(line + "\n" for line in test))):
        with open(file, "w") as opened:
            opened.write(text)
    write_json(path + ".json", {
        "architecture": architecture, "class_names": list(checkout.CLASSES), "image_size": size,
        "mean_norms": MEAN_NORMS, "scaling": SCALING, "image_folder": "x", "grey": False,
        "resize": "bilinear", "epochs": 10,
        "split": {side: {"images": len(test), "sha256": sha256_of_lines(test)}
                  for side in ("train", "test")}, "weights_from": "random",
        "identity": {"recipe": "study", "learning_rate": 0.01, "batch_size": 16},
        "weights": {"sha256": sha256_of_file(path + ".h5")}})


def perturbation(size=SIZE, seed=0, levels=12.8):
    """Random values of up to about so many grey levels: float32, (size, size, 3), model units."""
    random = np.random.RandomState(seed)
    return random.uniform(-levels / 128, levels / 128, (size, size, 3)).astype(np.float32)


def write_run(settings, model, run, size=SIZE, seed=0, **changes):
    """The files that make_uap.py leaves; three snapshots, of which two were after 20 images."""
    folder = os.path.join(settings.results_dir, model, run)
    os.makedirs(os.path.join(folder, "snapshots"), exist_ok=True)
    for name in [os.path.join("snapshots", name) for name in SHOWN] + ["uap"]:
        np.save(os.path.join(folder, name + ".npy"), perturbation(size, seed))
    h5 = os.path.join(settings.models_dir, model + ".h5")
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


def planned(settings):
    """All files of rows that there are to be: by model and the folder's name, then by kind."""
    found = {}
    for file in plan_rows(settings, find_uaps(settings)):
        key = file.classifier.name, os.path.basename(file.folder)
        found.setdefault(key, {})[file.kind] = file
    return found


def write_rows(files):
    """Rows as evaluate.py would write them, every class the first, every confidence 1."""
    for kind, file in files.items():
        names = rows.REQUIRED_COLUMNS[kind] if kind == "predictions" else ("file",) + tuple(
            file.perturbations)
        columns = {name: ["NV"] * len(file.test_images.rows) for name in names}
        columns["file"] = [name for name, _ in file.test_images.rows]
        for name in names:
            if name.endswith("_confidence"):
                columns[name] = ["1.0000"] * len(columns[name])
        rows.write(file.folder, kind, columns,
                   dict(file.inputs, **file.control_inputs, **file.description), {})
