"""The same image on both sides of a split, and classes that are too small to be on both."""

import os
import re

import pytest

from utils.common.errors import UserError
from utils.images import copies, isic2018, splits
from utils.images.copies import copies_across_split
from utils.images.datasets import LabelledImages, labelled_images
from utils.images.label_files import Split


def write(folder, **contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.jpg").write_bytes(content)


def test_copies_are_found_by_their_bytes_and_no_file_of_a_size_of_its_own_is_read(
        tmp_path, monkeypatch):
    write(tmp_path, a=b"same", b=b"other", c=b"same", d=b"else", e=b"other", f=b"longer than all")
    read, digest = [], copies.sha256_of_file
    monkeypatch.setattr(copies, "sha256_of_file", lambda path: read.append(path) or digest(path))
    split = Split(train=[(f"{name}.jpg", "A") for name in "abf"],
                  test=[(f"{name}.jpg", "A") for name in "dce"])
    assert sorted(copies_across_split(str(tmp_path), split)) == [
        ("a.jpg", "c.jpg"), ("b.jpg", "e.jpg")]
    assert sorted(map(os.path.basename, read)) == [f"{name}.jpg" for name in "abcde"]


@pytest.fixture
def with_copies(tmp_path):
    for label in "AB":
        write(tmp_path / "x" / label, **{f"n{i}": label.encode() * (i + 1) for i in range(10)})
        write(tmp_path / "x" / label, **{f"copy{i}": label.encode() * (i + 1) for i in range(10)})
    return labelled_images(str(tmp_path), "x")


def test_a_split_that_is_drawn_says_how_many_copies_it_parts_and_names_one(
        with_copies, tmp_path, capsys):
    splits.make_split(None, with_copies, str(tmp_path), None, 0)
    assert re.search(r"warning: .*x: \d+ of 12 test images are training images too, with equal "
                     r"bytes: \w/\w+.jpg is \w/\w+.jpg; .*remove one", capsys.readouterr().err)


def test_so_does_a_split_of_lists(with_copies, tmp_path, capsys):
    (tmp_path / "train.csv").write_text("A/n1.jpg,A\nB/n1.jpg,B\n")
    (tmp_path / "test.csv").write_text("A/copy1.jpg,A\nB/n2.jpg,B\n")
    splits.make_split(str(tmp_path), with_copies, str(tmp_path), None, 0)
    assert ("1 of 2 test images are training images too, with equal bytes: A/copy1.jpg is A/n1.jpg;"
            " the accuracy on the test images is too high by up to 50.0%"
            in capsys.readouterr().err)


def test_copies_in_isic2018_do_not_break_a_reproduction(tmp_path, capsys):
    names = [f"ISIC_{number}" for number in range(20)]
    write(tmp_path / isic2018.ISIC2018_IMAGES, **{name: b"same" for name in names})
    dataset = LabelledImages(isic2018.ISIC2018_IMAGES, isic2018.ISIC2018_CLASSES,
                             {f"{name}.jpg": "NV" for name in names})
    assert len(splits.make_split(None, dataset, str(tmp_path), None, 0).test) == 6
    assert "6 of 6 test images are training images too" in capsys.readouterr().err


@pytest.mark.parametrize("counts, small", [
    ({"NV": 10, "DF": 1}, "DF has 1 image;"), ({"A": 2, "B": 2, "C": 2}, "A has 2 images;"),
    ({"NV": 200, "DF": 2, "MEL": 100}, "DF has 2 images;")])
def test_a_class_with_too_few_images_for_the_split_is_named_with_its_count(counts, small):
    labels = {f"{label}{i}.jpg": label for label, count in counts.items() for i in range(count)}
    for seed in range(20):
        try:
            split = splits.image_split(labels, seed)
        except UserError as error:
            assert f"the class {small}" in str(error) and "expected enough for both" in str(error)
        else:
            assert all({label for _, label in rows} == set(counts) for rows in split)
    if min(counts.values()) == 1:
        with pytest.raises(UserError):
            splits.image_split(labels, 0)


def test_training_lists_without_a_class_are_refused(with_copies, tmp_path):
    (tmp_path / "train.csv").write_text("A/n1.jpg,A\n")
    (tmp_path / "test.csv").write_text("A/n2.jpg,A\nB/n2.jpg,B\n")
    with pytest.raises(UserError, match="training list has none of the 20 images of B"):
        splits.make_split(str(tmp_path), with_copies, str(tmp_path), None, 0)
