"""labels.csv and the lists of a split as people have them: read as meant, or one message."""

import pytest

from utils.common.errors import UserError
from utils.images.datasets import labelled_images
from utils.images.label_files import read_labels

NAMES = [("a0.jpg", "A"), ("a1.jpg", "A"), ("b0.jpg", "B"), ("b1.jpg", "B")]
BODY = "".join(f"{file},{label}\n" for file, label in NAMES)


def moles(tmp_path, table, encoding="utf-8"):
    folder = tmp_path / "moles"
    folder.mkdir()
    for file, _ in NAMES:
        (folder / file).write_bytes(b"")
    (folder / "labels.csv").write_bytes(table.encode(encoding))
    return labelled_images(str(tmp_path), "moles")


@pytest.mark.parametrize("table", [
    BODY, "file,label\n" + BODY, "File,Label\n" + BODY, "\ufeff" + BODY,
    "\ufefffile,label\n" + BODY,
    BODY.replace(",", ", "), BODY.replace("\n", " \n"), BODY.replace(",", " , "),
    BODY.replace("\n", "\r\n") + ",\r\n,\r\n"],
    ids=["plain", "header", "capitals", "mark", "mark and header", "blanks before", "blanks after",
         "blanks around", "empty rows of a spreadsheet"])
def test_blanks_marks_and_the_header_are_no_part_of_names(tmp_path, table):
    assert list(moles(tmp_path, table).labels.items()) == NAMES


HAM = "lesion_id,image_id,dx,dx_type,age,sex,localization\n" + "".join(
    f"HAM_{i},{file[:-4]},{label},histo,80.0,male,scalp\n" for i, (file, label) in enumerate(NAMES))


@pytest.mark.parametrize("table, message", [
    ("image,label\n" + BODY, "the first row, image,label, is a header; .*file,label"),
    ("image_id,dx\n" + BODY, "the first row, image_id,dx, is a header"),
    (",file,label\n" + "".join(f"{i},{f},{c}\n" for i, (f, c) in enumerate(NAMES)),
     "the first row, ,file,label, is a header; .*keep the column"),
    (HAM, "the first row, lesion_id,image_id,dx,.* is a header"),
    (BODY.replace(",", ";"), "row a0.jpg;A; .*commas between the cells"),
    (BODY.replace(",", "\t"), "row a0.jpg.A; .*commas between the cells"),
    (BODY.replace(".jpg", ""), "first is a0; a0.jpg is there: write the names with their ending"),
    (BODY.replace("a1.jpg", "a9.jpg"), "are missing, the first is a9.jpg; data/README.md"),
    (BODY.replace("a", "C:\\moles\\a"), "a0.jpg is there: write the paths relative"),
    (BODY.replace("a", "moles/a"), "a0.jpg is there: write the paths relative"),
    (BODY.replace("a", "/home/me/moles/a"), "row /home/me/moles/a0.jpg,A leads out of the folder"),
    (BODY.replace("a", "../moles/a"), "row ../moles/a0.jpg,A leads out of the folder"),
    (BODY + "./a0.jpg,A\n", r"\./a0.jpg appears twice, also as a0.jpg"),
    (BODY + "x/../b0.jpg,A\n", r"row x/../b0.jpg,A leads out of the folder"),
    (BODY + "a0.jpg,A\n", "a0.jpg appears twice; expected"),
    (BODY.replace("a1.jpg,A", "a1.jpg,nan"), "row a1.jpg,nan has no class"),
    (BODY.replace("a1.jpg,A", "a1.jpg,NaN"), "row a1.jpg,NaN has no class"),
    (BODY.replace("a1.jpg,A", "a1.jpg,"), "row a1.jpg,; expected"),
    (BODY.replace("a1.jpg,A", "a1.jpg,a"), "classes 'A' and 'a' differ in nothing but capital"),
    (BODY.replace("a1.jpg,A", 'a1.jpg,"A\nB"'), "control character"),
    (BODY.replace("a1.jpg,A", '"a\n1.jpg",A'), "image: the name 'a.*' holds a control character"),
])
def test_a_table_that_is_something_else_is_refused_with_what_to_do(tmp_path, table, message):
    with pytest.raises(UserError, match="labels.csv.*" + message):
        moles(tmp_path, table)


@pytest.mark.parametrize("encoding, message", [
    ("cp1252", "row 2 is not UTF-8.*save the file as UTF-8"), ("utf-16", "UTF-16, expected UTF-8")])
def test_a_table_that_is_not_utf8_is_refused_with_the_row(tmp_path, encoding, message):
    with pytest.raises(UserError, match="labels.csv: .*" + message):
        moles(tmp_path, BODY.replace("a1.jpg,A", "a1.jpg,Nävus"), encoding)


def test_images_that_the_table_does_not_list_are_said(tmp_path, capsys):
    moles(tmp_path, BODY.replace("a1.jpg,A\n", ""))
    assert "3 images are listed; left out are 1 that are not, a1.jpg" in capsys.readouterr().out


def test_a_file_named_like_a_heading_is_no_header(tmp_path):
    (tmp_path / "labels.csv").write_text("image.jpg,label\nb.jpg,c\n")
    assert list(read_labels(str(tmp_path / "labels.csv"))) == ["image.jpg", "b.jpg"]
