"""Csv files of all habits are read alike, or refused with the row that is wrong."""

import os

import pytest

from utils.common.csv_files import read_csv, read_written_csv, write_csv
from utils.common.errors import UserError

NOT_UTF_8 = os.fsdecode(b"b\xfcro.jpg")


@pytest.mark.parametrize("content", [
    "a.jpg,NV\nb.jpg,Nävus\n", "\ufeffa.jpg,NV\r\nb.jpg,Nävus", "\ufeff\ufeffa.jpg,NV\nb.jpg,Nävus",
    "a.jpg, NV\n b.jpg\t,Nävus \n\n", '"a.jpg", "NV"\n\n"b.jpg","Nävus"\n,\n'])
def test_marks_blanks_and_empty_rows_are_no_part_of_what_a_file_says(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content.encode("utf-8"))
    assert read_csv(str(path), None, "") == [["a.jpg", "NV"], ["b.jpg", "Nävus"]]
    path.write_bytes(("\ufefffile , label\n" + content.lstrip("\ufeff")).encode("utf-8"))
    assert read_csv(str(path), ("file", "label"), "") == [
        {"file": "a.jpg", "label": "NV"}, {"file": "b.jpg", "label": "Nävus"}]


@pytest.mark.parametrize("content, message", [
    ("a.jpg,NV\r\nb.jpg,Nävus\r\n".encode("cp1252"),
     r"row 2 is not UTF-8, b.jpg,N\\xe4vus; save the file as UTF-8; mend it"),
    ("a.jpg,NV\n".encode("utf-16"), "the text is UTF-16, expected UTF-8; .*mend it"),
    ("a.jpg,NV\n".encode("utf-16-le"), "not a csv file .it holds bytes of value 0.; mend it"),
    (b"a.jpg,NV\n" + 200000 * b"x", "not a csv file .field larger than.*mend it")])
def test_what_is_not_utf_8_is_refused_with_its_row(tmp_path, content, message):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match="labels.csv: " + message):
        read_csv(str(path), None, "mend it")


def test_rows_must_fit_the_header(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("image,label\na,NV,\n")
    assert read_csv(str(path), ("image",), "") == [{"image": "a", "label": "NV"}]
    for row in ("b", "b,NV,MEL"):
        path.write_text(f"image,label\na,NV\n{row}\n")
        with pytest.raises(UserError, match=f"row {row} has . cells, the header 2"):
            read_csv(str(path), ("image",), "")


def test_what_was_written_comes_back_with_its_blanks_and_bytes(tmp_path):
    path, rows = str(tmp_path / "rows.csv"), [[NOT_UTF_8, " NV"], [' "a", b ', "\ufeffMEL\n"]]
    write_csv(path, None, rows)
    assert read_written_csv(path, None, "") == rows
    write_csv(path, ("file", "label"), rows)
    assert read_written_csv(path, ("label",), "") == [dict(zip(("file", "label"), row))
                                                      for row in rows]
    with open(path, "rb") as file:
        assert b"b\xfcro.jpg" in file.read()
