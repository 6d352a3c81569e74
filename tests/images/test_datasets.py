"""Labels, lesions, splits, and the files that carry results from one step to the next."""

import collections
import os

import numpy as np
import pytest

from utils.common import csv_files
from utils.common.errors import UserError
from utils.common.whole_files import replacing, write_text
from utils.images import isic2018, label_files, splits
from utils.images.isic2018 import ISIC2018_CLASSES, isic2018_labels, isic2018_lesions

HEADER = ",".join(("image",) + ISIC2018_CLASSES)


def truth_row(image, *classes):
    return ",".join([image] + ["1.0" if c in classes else "0.0" for c in ISIC2018_CLASSES])


ROWS = [truth_row("ISIC_2", "NV"), truth_row("ISIC_1", "MEL"), truth_row("ISIC_3", "VASC")]
LABELS = [("ISIC_2.jpg", "NV"), ("ISIC_1.jpg", "MEL"), ("ISIC_3.jpg", "VASC")]


def lay_out(data_dir, lines, newline="\n", mark="", own_folder=True):
    """Lay out ISIC2018 below `data_dir`: three images, empty, and a ground truth of `lines`."""
    folder = data_dir / isic2018.ISIC2018_IMAGES
    folder.mkdir(parents=True)
    for name, _ in LABELS:
        (folder / name).write_bytes(b"")
    root = data_dir / "isic2018" / (isic2018.ISIC2018_GROUND_TRUTH if own_folder else "")
    root.mkdir(exist_ok=True)
    text = mark + "".join(line + newline for line in lines)
    (root / (isic2018.ISIC2018_GROUND_TRUTH + ".csv")).write_bytes(text.encode("utf-8"))
    return str(data_dir)


@pytest.mark.parametrize("layout", [{}, {"newline": "\r\n"}, {"mark": "\ufeff"},
                                    {"own_folder": False}], ids=str)
def test_labels_are_read_in_the_order_of_the_csv(tmp_path, layout):
    assert list(isic2018_labels(lay_out(tmp_path, [HEADER] + ROWS, **layout)).items()) == LABELS


@pytest.mark.parametrize("lines, message", [
    ([HEADER.replace(",BKL", "")] + ROWS, "column BKL is missing"),
    ([], "column image, MEL.* is missing, found nothing"),
    ([HEADER], "no rows"),
    ([HEADER, "\0"], "not a csv file"),
    ([HEADER, truth_row("ISIC_1")], "ISIC_1 has 0 classes"),
    ([HEADER, truth_row("ISIC_1", "NV", "DF")], "ISIC_1 has 2 classes"),
    ([HEADER, "ISIC_1,0.0,1.0"] + ROWS[:1], "row ISIC_1,0.0,1.0 has 3 cells, the header 8"),
    ([HEADER] + ROWS + ROWS[:1], "ISIC_2.jpg appears twice"),
    ([HEADER] + ROWS + [truth_row("ISIC_9", "NV")], "1 of 4 images .*ISIC_9.jpg")])
def test_a_wrong_ground_truth_is_an_error_that_names_file_and_fault(tmp_path, lines, message):
    data_dir = lay_out(tmp_path, lines)
    with pytest.raises(UserError, match="ISIC2018_Task3.*" + message):
        isic2018_labels(data_dir)


@pytest.mark.parametrize("read", [isic2018_labels, isic2018_lesions])
def test_a_missing_file_is_an_error_that_says_where_to_get_it(tmp_path, read):
    with pytest.raises(UserError, match="ISIC2018_.*.csv: not found.*data/README.md"):
        read(str(tmp_path))


@pytest.mark.parametrize("folder", ["", isic2018.ISIC2018_GROUND_TRUTH])
def test_lesions_are_read_by_image(tmp_path, folder):
    folder = tmp_path / "isic2018" / folder
    folder.mkdir(parents=True)
    (folder / (isic2018.ISIC2018_LESIONS + ".csv")).write_bytes(
        b"\xef\xbb\xbfimage,lesion_id,diagnosis_confirm_type\r\nISIC_1,HAM_7,histo\r\n"
        b"ISIC_2,HAM_7,histo\r\n")
    assert isic2018_lesions(str(tmp_path)) == {"ISIC_1.jpg": "HAM_7", "ISIC_2.jpg": "HAM_7"}


def labels_of(**counts):
    """Labels for generated file names: counts images of each class, mixed."""
    names = [label for label, count in counts.items() for _ in range(count)]
    np.random.RandomState(0).shuffle(names)
    return collections.OrderedDict(
        (f"ISIC_{i:04d}.jpg", name) for i, name in enumerate(names))


def counts_of(rows):
    return collections.Counter(label for _, label in rows)


def lesions_of(labels):
    """Lesions of two images, one image, two images ... of each class."""
    seen, lesions = collections.Counter(), {}
    for file, label in labels.items():
        lesions[file] = f"{label}_{2 * seen[label] // 3}"
        seen[label] += 1
    return lesions


def test_the_image_split_is_disjoint_complete_30_percent_and_by_class():
    labels = labels_of(NV=200, MEL=50, DF=10)
    train, test = splits.image_split(labels, 0)
    assert sorted(train + test) == sorted(labels.items())
    assert counts_of(test) == {"NV": 60, "MEL": 15, "DF": 3}


def test_a_split_is_the_seeds():
    labels = labels_of(NV=200, MEL=50)
    lesions = {file: file for file in labels}
    for split in (lambda seed: splits.image_split(labels, seed),
                  lambda seed: splits.lesion_split(labels, lesions, seed)):
        assert split(1) == split(1) != split(2)


@pytest.mark.parametrize("seed", range(3))
def test_the_lesion_split_shows_no_lesion_on_both_sides_and_keeps_proportions(seed):
    labels = labels_of(NV=300, MEL=80, BCC=40, DF=30)
    lesions = lesions_of(labels)
    train, test = splits.lesion_split(labels, lesions, seed)
    assert sorted(train + test) == sorted(labels.items())
    assert not {lesions[file] for file, _ in train} & {lesions[file] for file, _ in test}
    for label, count in counts_of(labels.items()).items():
        assert counts_of(test)[label] == pytest.approx(0.3 * count, abs=3)


@pytest.mark.parametrize("seed", range(4))
def test_a_class_of_two_lesions_has_one_on_each_side(seed):
    labels = labels_of(NV=10)
    lesions = {file: "rare" if i == 0 else "common" for i, file in enumerate(labels)}
    assert sorted(map(len, splits.lesion_split(labels, lesions, seed))) == [1, 9]


@pytest.mark.parametrize("counts, changed, message", [
    ({"NV": 50}, {"ISIC_0007.jpg": ""}, "1 of 50 images.*ISIC_0007.jpg"),
    ({"NV": 50}, {"ISIC_0007.jpg": None}, "1 of 50 images.*ISIC_0007.jpg"),
    ({"NV": 5, "DF": 1}, {}, "6 images.*DF")])
def test_what_cannot_be_split_by_lesion_is_an_error(counts, changed, message):
    labels = labels_of(**counts)
    with pytest.raises(UserError, match=message):
        splits.lesion_split(labels, dict({file: file for file in labels}, **changed), 0)


def test_a_class_of_one_image_cannot_be_split():
    with pytest.raises(UserError, match="11 images 70/30"):
        splits.image_split(labels_of(NV=10, DF=1), 0)


def split_folder(folder, train, test, ending=".csv"):
    for side, text in (("train", train), ("test", test)):
        if text is not None:
            (folder / f"{side}{ending}").write_text(text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("ending", [".csv", "_pre.csv"])
def test_a_split_is_read_from_a_folder_also_the_authors_published_one(tmp_path, ending):
    folder = split_folder(tmp_path, "\ufeffISIC_1.jpg,MEL\r\nISIC_2.jpg,NV\r\n\r\n",
                          "file,label\nISIC_3.jpg,VASC\n", ending)
    assert splits.folder_split(folder, dict(LABELS)) == (
        [("ISIC_1.jpg", "MEL"), ("ISIC_2.jpg", "NV")], [("ISIC_3.jpg", "VASC")])


@pytest.mark.parametrize("train, test, message", [
    ("ISIC_1.jpg,NV\n", "ISIC_2.jpg,NV\n", "train.csv: ISIC_1.jpg is labelled NV.* says MEL"),
    ("ISIC_1.jpg,MEL\n", "ISIC_9.jpg,NV\n", "test.csv: ISIC_9.jpg .* nothing of this image"),
    ("ISIC_1.jpg,MEL\n", "ISIC_1.jpg,MEL\n", "test.csv: ISIC_1.jpg is in train.csv too"),
    ("ISIC_1.jpg,MEL\nISIC_1.jpg,MEL\n", "ISIC_2.jpg,NV\n", "train.csv: ISIC_1.jpg appears twice"),
    ("ISIC_1.jpg,MEL,0\n", "ISIC_2.jpg,NV\n", "train.csv: row ISIC_1.jpg,MEL,0; expected"),
    ("ISIC_1.jpg\n", "ISIC_2.jpg,NV\n", "train.csv: row ISIC_1.jpg; expected"),
    ("ISIC_1.jpg,MEL\n", "\n", "test.csv: no rows"),
    ("ISIC_1.jpg,MEL\n", None, "test.csv: not found")])
def test_a_wrong_split_folder_is_an_error_that_names_file_and_fault(
        tmp_path, train, test, message):
    with pytest.raises(UserError, match=message):
        splits.folder_split(split_folder(tmp_path, train, test), dict(LABELS))


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [("b.jpg", "NV"), ("a, with \"comma\".jpg", "MEL"), ("Läsion 1.jpg", "DF")]
    path = str(tmp_path / "below" / "rows.csv")
    for header in (None, ("file", "label")):
        csv_files.write_csv(path, header, rows)
        assert list(label_files.read_labels(path).items()) == rows


@pytest.mark.parametrize("limit", [3, 10, 26, 100, 259])
def test_a_limit_keeps_every_class_its_proportions_and_the_order(limit):
    rows = list(labels_of(NV=200, MEL=50, DF=10).items())
    kept = splits.limit_rows(rows, limit, 0)
    assert len(kept) == limit and kept == [row for row in rows if row in set(kept)]
    for label, count in counts_of(rows).items():
        assert abs(counts_of(kept)[label] - limit * count / len(rows)) < 2
        assert counts_of(kept)[label] >= 1


def test_a_limit_draws_with_the_seed_and_no_limit_keeps_all():
    rows = list(labels_of(NV=200, MEL=50).items())
    assert splits.limit_rows(rows, 50, 1) == splits.limit_rows(rows, 50, 1)
    assert splits.limit_rows(rows, 50, 1) != splits.limit_rows(rows, 50, 2)
    assert splits.limit_rows(rows, None, 1) == rows == splits.limit_rows(rows, 1000, 1)
    assert len(splits.limit_rows(rows, 1, 1)) == 1


def test_a_file_is_replaced_only_when_the_new_one_is_whole(tmp_path):
    path = tmp_path / "below" / "a.txt"
    write_text(str(path), "old\n")
    with pytest.raises(ZeroDivisionError):
        with replacing(str(path)) as temporary:
            with open(temporary, "w") as file:
                file.write("half of the new")
            assert path.read_text() == "old\n" and temporary.endswith(".txt")
            raise ZeroDivisionError
    assert path.read_text() == "old\n" and os.listdir(str(path.parent)) == ["a.txt"]
    write_text(str(path), "neu: ä\n")
    assert path.read_bytes() == "neu: ä\n".encode("utf-8")
    assert os.listdir(str(path.parent)) == ["a.txt"]
