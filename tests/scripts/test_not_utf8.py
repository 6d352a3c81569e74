"""Names of files that are not UTF-8, as from an old Windows, work to the end of all three steps."""

import os
import shutil

import checkout

FOLDER = os.fsdecode(b"fotos_m\xe4rz")


def test_images_whose_names_are_not_utf_8_are_trained_on_attacked_with_and_evaluated(
        trained, tmp_path):
    data = tmp_path / "data"
    images = os.path.join(trained, "data", "ilsvrc2012")
    for number, (path, _) in enumerate(sorted(checkout.tree(images, lambda path: None).items())):
        for label in ("a", "b"):
            for copy in range(2):
                name = os.fsdecode(b"b\xfcro%d%d.JPEG" % (number, copy))
                (data / "moles" / label).mkdir(parents=True, exist_ok=True)
                target = data / "moles" / label / name
                shutil.copy(os.path.join(images, path), str(target))
                with open(str(target), "ab") as file:
                    file.write("{}{}".format(label, copy).encode())
    shutil.copytree(images, str(tmp_path / FOLDER))
    where = ("--models-dir", tmp_path / "models"), ("--results-dir", tmp_path / "results")
    model = "VGG16-moles"
    for words in (
            ("train_model.py", "--model", "VGG16", "--dataset", "moles", "--data-dir", data,
             "--weights", "none", "--image-size", "32", "--epochs", "1") + where[0],
            ("make_uap.py", "--model-file", tmp_path / "models" / (model + ".h5"), "--source",
             "moles", "--data-dir", data) + where[1],
            ("make_uap.py", "--model-file", tmp_path / "models" / (model + ".h5"), "--source-dir",
             tmp_path / FOLDER) + where[1],
            ("evaluate.py", "--data-dir", data) + where[0] + where[1]):
        code, output, errors = checkout.script(trained, *words)
        assert code == 0, errors
    assert "fotos_m" in output and "xe4rz" in output  # the table names the folder
    tables = checkout.tree(tmp_path / "results" / model)
    for path in ("moles/predictions.csv", "moles/log.csv", "moles/images.csv"):
        assert b"b\xfcro" in tables[path], path
    assert b"fotos_m\\udce4rz" in tables["fotos_m-xe4rz/run.json"]
