"""Data sets in folders: which levels are classes, which are sides of a split, what is refused."""

import pytest

from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.images import splits
from utils.images.datasets import labelled_images
from utils.images.label_files import Split


def lay_out(tmp_path, *files):
    for file in files:
        path = tmp_path / "x" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not file.endswith("/.keep"):
            path.write_bytes(file.encode("utf-8", "surrogateescape"))
    return labelled_images(str(tmp_path), "x")


@pytest.mark.parametrize("training, test", [
    ("train", "test"), ("Training", "Testing"), ("TRAIN", "Test")])
def test_folders_named_like_sides_are_read_as_that_split(tmp_path, capsys, training, test):
    dataset = lay_out(tmp_path, f"{training}/NORMAL/1.jpg", f"{training}/PNEUMONIA/2.jpg",
                      f"{test}/NORMAL/1.jpg", f"{test}/PNEUMONIA/b/4.jpg")
    assert dataset.class_names == ("NORMAL", "PNEUMONIA")
    assert splits.make_split(None, dataset, str(tmp_path), None, 0) == Split(
        [(f"{training}/NORMAL/1.jpg", "NORMAL"), (f"{training}/PNEUMONIA/2.jpg", "PNEUMONIA")],
        [(f"{test}/NORMAL/1.jpg", "NORMAL"), (f"{test}/PNEUMONIA/b/4.jpg", "PNEUMONIA")])
    assert (f"x: split by its folders: 2 training images in {training}; 2 test images in {test}"
            in capsys.readouterr().out)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_validation_images_belong_to_training_and_the_line_says_so(tmp_path, capsys, name):
    dataset = lay_out(tmp_path, "train/A/1.jpg", "train/B/2.jpg", "test/A/3.jpg", "test/B/4.jpg",
                      f"{name}/A/5.jpg")
    split = splits.make_split(None, dataset, str(tmp_path), None, 0)
    assert (f"{name}/A/5.jpg", "A") in split.train and len(split.test) == 2
    line, = capsys.readouterr().out.splitlines()
    assert "3 training images in " in line and name in line.split(";")[0]


def test_the_authors_lists_work_on_that_layout(tmp_path):
    dataset = lay_out(tmp_path, "train/A/1.jpg", "train/B/2.jpg", "test/A/3.jpg", "test/B/4.jpg")
    (tmp_path / "train_pre.csv").write_text("train/A/1.jpg,A\ntest/B/4.jpg,B\n")
    (tmp_path / "test_pre.csv").write_text("test/A/3.jpg,A\ntrain/B/2.jpg,B\n")
    assert splits.make_split(str(tmp_path), dataset, str(tmp_path), None, 0) == Split(
        [("train/A/1.jpg", "A"), ("test/B/4.jpg", "B")],
        [("test/A/3.jpg", "A"), ("train/B/2.jpg", "B")])


def test_a_class_may_be_named_like_a_side_where_no_other_is(tmp_path):
    dataset = lay_out(tmp_path, "train/1.jpg", "car/2.jpg", "plane/3.jpg")
    assert dataset.class_names == ("car", "plane", "train") and dataset.folder_split is None


@pytest.mark.parametrize("files, message", [
    (["train/A/1.jpg", "train/B/2.jpg"], "train is there, test is missing"),
    (["train/A/1.jpg", "train/B/2.jpg", "val/A/3.jpg"], "train, val is there, test is missing"),
    (["test/A/1.jpg", "test/B/2.jpg"], "test is there, train is missing"),
    (["train/A/1.jpg", "train/B/2.jpg", "test/A/3.jpg"], "class B has no folder in test"),
    (["train/A/1.jpg", "test/B/2.jpg", "test/A/3.jpg"], "class B has no folder in train"),
    (["train/A/1.jpg", "test/A/2.jpg", "other/A/3.jpg"], "other beside train, test"),
    (["train/A/1.jpg", "test/A/2.jpg", "3.jpg"], "3.jpg lies in no class's folder"),
    (["train/1.jpg", "test/2.jpg"], "1.jpg lies in no class's folder.*labels.csv"),
    (["train/A/1.jpg", "train/B/2.jpg", "train/C/.keep", "test/A/3.jpg", "test/B/4.jpg"],
     "x/train/C: no image of this class"),
    (["COVID/images/1.jpg", "COVID/masks/1.jpg", "NORMAL/images/2.jpg", "NORMAL/masks/2.jpg"],
     "same folders below it, images, masks;.*labels.csv"),
    (["COVID/images/1.jpg", "COVID/masks/1.jpg", "NORMAL/images/2.jpg"],
     "same folders below it, images;.*labels.csv"),
    (["A/train/1.jpg", "A/test/2.jpg", "B/train/3.jpg", "B/test/4.jpg"],
     "same folders below it, test, train;.*labels.csv"),
    (["hospital1/A/1.jpg", "hospital1/B/2.jpg", "hospital2/A/3.jpg", "hospital2/B/4.jpg"],
     "same folders below it, A, B;.*labels.csv"),
    (["train/A/images/1.jpg", "train/B/images/2.jpg", "test/A/images/3.jpg",
      "test/B/images/4.jpg"], "x/train: every class has the same folders below it, images"),
    (["train/A/1.jpg", "A/2.jpg", "B/3.jpg"], "A is a folder beside train and below it"),
    (["x/A/1.jpg", "x/B/2.jpg"], "all images are of one class, x.*directly in this one"),
    (["A/1.jpg", "B/2.jpg", "VASC/.keep"], "x/VASC: no image of this class, 0 other files"),
    (["A/1.jpg", "B/2.jpg", "VASC/1.dcm", "VASC/2.heic"],
     r"x/VASC: no image of this class, 2 other files: 1 \.dcm, 1 \.heic"),
    (["NV/1.jpg", "nv/2.jpg"], "classes 'NV' and 'nv' differ in nothing but capital letters"),
    (["a\nb/1.jpg", "c/2.jpg"], "a.nb/1.jpg' holds a control character"),
    (["L\udce4sion/1.jpg", "NORMAL/2.jpg"], "L.xe4sion' is not UTF-8"),
])
def test_folders_that_are_no_classes_are_refused_with_what_to_do(tmp_path, files, message):
    with pytest.raises(UserError, match=message) as error:
        lay_out(tmp_path, *files)
    assert "\n" not in printable(str(error.value))


def test_patients_below_their_class_are_no_other_sorting(tmp_path):
    dataset = lay_out(tmp_path, "A/p1/1.jpg", "A/p2/2.jpg", "B/p3/3.jpg", "B/4.jpg", "C/p1/5.jpg")
    assert dict(dataset.labels) == {"A/p1/1.jpg": "A", "A/p2/2.jpg": "A", "B/p3/3.jpg": "B",
                                    "B/4.jpg": "B", "C/p1/5.jpg": "C"}


def test_every_image_that_browsers_name_otherwise_is_read(tmp_path):
    dataset = lay_out(tmp_path, "MEL/1.jfif", "NV/1.jpe", "BCC/1.jpg")
    assert dataset.class_names == ("BCC", "MEL", "NV")


def test_a_link_that_leads_back_adds_no_images(tmp_path):
    lay_out(tmp_path, "A/1.jpg", "B/2.jpg")
    (tmp_path / "x" / "x").symlink_to(tmp_path / "x")
    (tmp_path / "x" / "A" / "again").symlink_to(tmp_path / "x")
    assert list(labelled_images(str(tmp_path), "x").labels) == ["A/1.jpg", "B/2.jpg"]
