"""Names of files that are not UTF-8, as from an old Windows, work to the end of all three steps."""

import os
import shutil

import checkout

PHOTOGRAPHS = os.fsdecode(b"fotos_m\xe4rz")
MODELS, RESULTS = os.fsdecode(b"f\xfcr_modelle"), os.fsdecode(b"f\xfcr_ergebnisse")


def label_images(images, folder):
    """Two copies of each image in each of two classes; a JPEG's end may be followed by anything."""
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number, path in enumerate(sorted(checkout.tree(images, os.path.getsize)) * 2):
            target = str(folder / label / os.fsdecode(b"b\xfcro%02d.jpg" % number))
            shutil.copy(os.path.join(images, path), target)
            with open(target, "ab") as file:
                file.write(f"{label}{number}".encode())


def test_images_whose_names_are_not_utf_8_are_trained_on_attacked_with_and_evaluated(
        trained, tmp_path):
    images = os.path.join(trained, "data", "ilsvrc2012")
    label_images(images, tmp_path / "data" / "moles")
    shutil.copytree(images, str(tmp_path / PHOTOGRAPHS))
    data = ("--data-dir", tmp_path / "data")
    models = ("--models-dir", tmp_path / MODELS)
    results = ("--results-dir", tmp_path / RESULTS)
    uap = ("make_uap.py", "--model-file", tmp_path / MODELS / "VGG16-moles.h5") + results
    for words in (
            ("train_model.py", "--model", "VGG16", "--dataset", "moles", "--weights", "none",
             "--image-size", "32", "--epochs", "1") + data + models,
            uap + data + ("--source", "moles"),
            uap + ("--source-dir", tmp_path / PHOTOGRAPHS),
            ("evaluate.py",) + data + models + results):
        code, output, errors = checkout.script(trained, *words)
        assert code == 0, errors
    assert "fotos_m" in output and "xe4rz" in output  # the table names the folder
    tables = checkout.tree(tmp_path / RESULTS / "VGG16-moles")
    for path in ("moles/predictions.csv", "moles/log.csv", "moles/images.csv"):
        assert b"b\xfcro" in tables[path], path
    assert b"fotos_m\\udce4rz" in tables["fotos_m-xe4rz/run.json"]
