"""Evaluated runs, as make_uap.py and evaluate.py leave them, and the report on them."""

import contextlib
import json
import os

import numpy as np
import pytest
from PIL import Image

import checkout
from utils.common import figures
from utils.common.hashes import sha256_of_file
from utils.evaluation import rows
from utils.evaluation.evaluated_uap import find, read_evaluated
from utils.report import pictures, report

N = 120  # test images of a run with random rows
CLASSES = list(checkout.CLASSES)
SIZE = {"VGG16": 8, "ResNet50": 8, "InceptionV3": 12}
SNAPSHOTS = {10: 0.1, 20: 0.25, 50: 0.2, 100: 0.45, 200: 0.75}  # share changed, at random
MADE = {"command": ["python", "/somewhere/evaluate.py", "--note", "two words"],
        "finished": "2020-01-03T00:00:00Z", "versions": {"numpy": "1.16.6"}, "git": None,
        "machine": {"system": "Linux", "cores": 2}}


def write_json(path, **values):
    with open(path, "w") as file:
        json.dump(values, file)


def changed(random, classes, share, names):
    """Classes of which about this share is drawn anew."""
    return np.where(random.uniform(size=N) < share, random.choice(names, N), classes)


def write_random_run(folder, seed, labels, clean, **info):
    """Write one evaluated run of N test images with random predictions.

    labels, clean: the true classes, and those predicted clean. info: see write_run().
    """
    random, names = np.random.RandomState(seed), info.get("class_names", CLASSES)
    uap = changed(random, clean, 0.3 + 0.1 * (seed % 6), names)
    predictions = {"file": [f"{i:03d}.png" for i in range(N)], "label": labels, "clean": clean,
                   "uap": uap}
    for name, base, share in (("uap_8bit", uap, 0.05), ("jpeg95", uap, 0.1), ("jpeg75", clean, 0.2),
                              ("clean_jpeg75", clean, 0.05), ("random", clean, 0.1),
                              ("permuted", clean, 0.2)):
        predictions[name] = changed(random, base, share, names)
    # What is predicted of the clean images is the same in all runs of a classifier.
    for name, drawn in (("clean", np.random.RandomState(0)), ("uap", random)):
        predictions[name + "_confidence"] = [f"{share:.4f}" for share in drawn.uniform(0.2, 1, N)]
    curve = {images: changed(random, clean, share * (1 + seed % 3) / 2, names)
             for images, share in SNAPSHOTS.items()}
    write_run(folder, predictions, curve, identity={"seed": seed, "step_size": 0.001}, **info)


def write_run(folder, predictions, curve, transfer=(), **info):
    """Write one evaluated run: the files that make_uap.py and evaluate.py leave.

    predictions: the columns of predictions.csv. curve: from a number of images shown to the classes
    predicted then. transfer: from another model to the classes predicted under its UAP of the same
    name. info: what predictions.json is to say; model and source must be there.
    """
    size, path = SIZE.get(info["model"], 8), os.path.join(folder, "uap.npy")
    os.makedirs(folder)
    seed = info["identity"]["seed"]
    v = np.random.RandomState(seed).uniform(-0.1, 0.1, (size, size, 3))
    np.save(path, v.astype(np.float32))
    sha256 = sha256_of_file(path)
    same = {"model_sha256": "ab" * 32, "test_sha256": "cd" * 32}
    info = {
        "largest_change": 12.8, "made_for": info["model"], "attack": "deepfool", "norm": "inf",
        "target": None, "run": os.path.basename(folder), "images": 100, "passes": 2,
        "norm_bound": 0.1, "norm_ratio": 0.04, "class_names": CLASSES, "image_size": size,
        "seed": 5, "image_folder": "pictures", "resize": "bilinear",
        "weights_from": {"file": "natural.h5"}, "backbone": False, "recipe": "study",
        "epochs": 100, "learning_rate": 0.001, "batch_size": 32,
        "steps": {"made": 40, "kept": 10 + seed}, "uap_sha256": sha256,
        "snapshots": {str(images): 3.0 * images for images in curve}, **same, **info}
    rows.write(folder, "predictions", predictions, info, MADE)
    files = predictions["file"]
    if info["made_for"] == info["model"]:
        columns = {str(images): cells for images, cells in curve.items()}
        rows.write(folder, "curve", {"file": files, **columns},
                   {**same, "columns": dict.fromkeys(columns, "ef" * 32)}, MADE)
        write_json(os.path.join(folder, "run.json"), **{
            **MADE, "command": ["python", "make_uap.py", "--source", info["source"]],
            "arguments": {"seed": seed}, "uap": {"sha256": sha256},
            "images": {"sha256": "12" * 32}, "started": "2020-01-01T00:00:00Z",
            "finished": "2020-01-02T00:00:00Z", "seconds": 12.5,
            "git": {"commit": "34" * 20, "modified": True}})
    if transfer:
        hashes = {model: sha256_of_file(os.path.join(
            folder, "..", "..", model, info["run"], "uap.npy")) for model in transfer}
        rows.write(folder, "transfer", {"file": files, **transfer}, {**same, "columns": hashes},
                   MADE)


@contextlib.contextmanager
def undrawn():
    """Within this context, what a picture would be drawn from is kept in a dict by its name."""
    drawn = {}

    def keep(path, **arguments):
        drawn[os.path.basename(path)] = arguments
        os.makedirs(os.path.dirname(path), exist_ok=True)
        open(path, "wb").close()  # becomes part of report.html

    with pytest.MonkeyPatch.context() as patch:
        for room, name in ((pictures, "rates"), (pictures, "curves"), (pictures, "example_grid"),
                           (figures, "confusion_matrices")):
            patch.setattr(room, name, keep)
        yield drawn


def evaluated(results):
    return [read_evaluated(folder) for folder in find(os.path.join(results, "results"))]


def write(results, chosen=None, at_hand=True):
    """Write the report of the chosen runs, or of all; its pages, by the names of their files."""
    def read(run, files):
        return np.stack([np.asarray(Image.open(os.path.join(
            results, run.classifier.image_folder, file)).resize((run.classifier.image_size,) * 2))
            for file in files]) if at_hand else None

    path = report.write_report(
        os.path.join(results, "results"), os.path.join(results, "models"),
        evaluated(results) if chosen is None else chosen, "A sentence above.", read)
    folder = os.path.join(results, "results", "report")
    paths = [path] + [os.path.join(folder, name) for name in os.listdir(folder)
                      if name.endswith(".md")]
    return {os.path.basename(path)[:-3]: read_text(path) for path in paths}


def read_text(*parts):
    with open(os.path.join(*parts), encoding="utf-8") as file:
        return file.read()
