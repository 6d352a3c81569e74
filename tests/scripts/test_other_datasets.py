"""Any other data set of images in classes: how it is read, and the three steps on grey images."""

import json
import os

import numpy as np
import pytest
from PIL import Image

import checkout
from utils.common.errors import UserError
from utils.images.datasets import labelled_images
from utils.images.norms import is_grey

FILES = ["NORMAL/1.jpeg", "NORMAL/b/2.png", "PNEUMONIA/1.jpeg", "PNEUMONIA/3.jpeg"]


def chest_xray(folder, files=FILES, table=None):
    """Write empty images below `folder`/chest_xray, and labels.csv."""
    for file in files:
        path = folder / "chest_xray" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    if table is not None:
        (folder / "chest_xray" / "labels.csv").write_bytes(table.encode("utf-8"))
    return labelled_images(str(folder), "chest_xray")


def test_a_folder_for_each_class_gives_the_labels(tmp_path):
    found = chest_xray(tmp_path)
    assert found.image_folder == "chest_xray"
    assert found.class_names == ("NORMAL", "PNEUMONIA")
    assert list(found.labels.items()) == [(file, file.split("/")[0]) for file in FILES]


@pytest.mark.parametrize("header", ["", "file,label\r\n", "\ufefffile,label\n"])
def test_a_table_gives_the_labels_of_images_in_any_arrangement(tmp_path, header):
    found = chest_xray(tmp_path, FILES + ["x y,z.png"],
                       header + "PNEUMONIA/3.jpeg,b\r\nNORMAL/1.jpeg,ä\n\"x y,z.png\",b\n")
    assert found.class_names == ("b", "ä")
    assert list(found.labels.items()) == [
        ("PNEUMONIA/3.jpeg", "b"), ("NORMAL/1.jpeg", "ä"), ("x y,z.png", "b")]


@pytest.mark.parametrize("files, table, message", [
    (["1.jpeg"] + FILES, None, "chest_xray: 1.jpeg lies in no class's folder"),
    (FILES[:2], None, "chest_xray: all images are of one class, NORMAL"),
    (["notes.txt"], None, "chest_xray: no image"),
    (FILES, "", "labels.csv: no rows"),
    (FILES, "file,label\n", "labels.csv: no rows"),
    (FILES, "NORMAL/1.jpeg\n", "labels.csv: row NORMAL/1.jpeg; expected rows file,label"),
    (FILES, "NORMAL/1.jpeg,\n", "labels.csv: row NORMAL/1.jpeg,; expected"),
    (FILES, "NORMAL/1.jpeg,a\nNORMAL/1.jpeg,b\n", "labels.csv: NORMAL/1.jpeg appears twice"),
    (FILES, "NORMAL/1.jpeg,a\nNORMAL/9.jpeg,b\n", "1 of 2 images .*NORMAL/9.jpeg"),
    (FILES, "NORMAL/1.jpeg,a\nnowhere/9.jpeg,b\n", "1 of 2 images .*nowhere/9.jpeg"),
    ([], None, "chest_xray: no such folder; .*labels.csv")])
def test_a_wrong_data_set_is_an_error_that_names_file_and_fault(tmp_path, files, table, message):
    with pytest.raises(UserError, match=message):
        chest_xray(tmp_path, files, table)


def radiograph(label, number):
    """A grey image, (60, 50), of its class's pattern and some noise."""
    y, x = np.mgrid[0:60, 0:50]
    picture = 128 + 60 * np.sin((x if label == "NORMAL" else y) / 3)
    picture += np.random.RandomState(number).normal(0, 20, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A copy of the project in which the documented commands for another data set were run."""
    folder = str(tmp_path_factory.mktemp("other"))
    checkout.make(folder)
    for label in ("NORMAL", "PNEUMONIA"):
        where = os.path.join(folder, "data", "chest_xray", label)
        os.makedirs(where)
        for number in range(16):
            Image.fromarray(radiograph(label, number)).save(
                os.path.join(where, f"{number}.jpeg"))
    block, = [block for block in checkout.documented_commands() if "--dataset" in block]
    assert len(block.splitlines()) == 4
    code, output = checkout.shell(folder, "export IMAGE_SIZE=32\n. .venv/bin/activate\n" + block)
    assert code == 0, output[-4000:]
    return folder, output


def test_the_three_steps_run_on_grey_images_in_class_folders(finished):
    folder, output = finished
    with open(os.path.join(folder, "models", "VGG16-chest_xray.json")) as file:
        description = json.load(file)
    assert description["class_names"] == ["NORMAL", "PNEUMONIA"]
    assert description["image_folder"] == "chest_xray"
    train = open(os.path.join(folder, "models", "VGG16-chest_xray", "train.csv")).read().split()
    # Grey pixels in three channels: the mean norm, the second way.
    norms = [np.sqrt(3 * (np.asarray(Image.open(os.path.join(
        folder, "data", "chest_xray", row.split(",")[0])).resize((32, 32), Image.BILINEAR),
        float) ** 2).sum()) for row in train]
    assert description["mean_norms"]["2"] == pytest.approx(np.mean(norms))

    results = os.path.join(folder, "results", "VGG16-chest_xray")
    shown = {row["file"] for row in checkout.read_csv(results, "chest_xray", "log.csv")}
    assert shown <= {row.split(",")[0] for row in train}
    for run in ("chest_xray", "ilsvrc2012-images-3"):
        predictions = checkout.read_csv(results, run, "predictions.csv")
        assert {row["clean"] for row in predictions} <= {"NORMAL", "PNEUMONIA"}
        assert not {row["file"] for row in predictions} & {row.split(",")[0] for row in train}
        assert np.load(os.path.join(results, run, "uap.npy")).shape == (32, 32, 3)
        assert is_grey(np.load(os.path.join(results, run, "uap.npy")))
    assert os.path.exists(os.path.join(folder, "results", "report",
                                       "examples-VGG16-chest_xray.png"))


def test_the_table_shows_its_runs_and_not_as_cells_of_the_study(finished):
    folder, output = finished
    table = checkout.read_csv(folder, "results", "table.csv")
    assert {row["model"] for row in table if row["published"]} == {
        "VGG16", "ResNet50", "InceptionV3"}
    own = [row for row in table if row["model"] == "VGG16-chest_xray"]
    assert sorted(row["run"] for row in own) == ["chest_xray", "ilsvrc2012-images-3"]
    assert all(row["rate"] and not row["published"] for row in own)
    assert "| VGG16-chest_xray | chest_xray |" in output
