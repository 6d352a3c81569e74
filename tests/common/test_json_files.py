"""JSON files are what they should be, or refused with one message before anything is done."""

import glob
import os
import time

import pytest

import checkout
from utils.common.errors import UserError
from utils.common.json_files import COUNT, INSIDE, OBJECT, fault_of, fields, read_json, write_json


@pytest.mark.parametrize("text, message", [
    ("[" * 100000 + "]" * 100000, "not a JSON file .nested more than 100 deep"),
    ('{"a":' * 500 + "1" + "}" * 500, "not a JSON file .nested more than 100 deep"),
    ('{"n": 1e400}', "not a JSON file .1e400 is too large a number"),
    ('{"n": -1e400}', "not a JSON file .-1e400 is too large a number"),
    ('{"n": NaN}', "not a JSON file .NaN is no number of JSON"),
    ('{"n": ' + "9" * 400 + "}", "not a JSON file .9{20} is too large an integer .400 digits"),
    ('{"n": ' + "9" * 10000000 + "}", "not a JSON file .9{20} is too large an integer"),
    ('{"n": 9223372036854775808}', "not a JSON file .9223372036854775808 is too large an integer"),
    ('{"n": 32.0}', "n: 32.0 is not of type 'integer'"),
    ('{"n": 3e1}', "n: 30.0 is not of type 'integer'"),
    ('{"n": true}', "n: True is not of type 'integer'"),
    ('{"n": "' + "x" * 100000 + '"}', "n: 'xxx.{,400}xx' is not of type 'integer'"),
    ('{"n": "\\ud800"}', "not a JSON file ..\\\\ud800' is no character"),
    ("{}", "'n' is a required property"),
    ('{"n": 1', "not a JSON file"),
    ("", "not a JSON file")], ids=lambda text: text[:20])
def test_a_wrong_file_is_one_message_that_names_what_is_wrong(tmp_path, text, message):
    path, began = tmp_path / "a.json", time.time()
    path.write_text(text)
    with pytest.raises(UserError, match=f"a.json: {message}.*; mend it$") as caught:
        read_json(str(path), fields(n=COUNT), "mend it")
    assert len(str(caught.value)) < 600 and time.time() - began < 10


def test_names_that_are_not_utf_8_come_back_as_they_were_written(tmp_path):
    values = {os.fsdecode(b"b\xfcro"): [os.fsdecode(b"m\xe4rz/a.jpg"), "Nävus"]}
    write_json(str(tmp_path / "a.json"), values)
    assert read_json(str(tmp_path / "a.json"), OBJECT, "") == values
    assert "Nävus" in (tmp_path / "a.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("path, fits", [
    ("isic2018/images", True), ("a..b/..c", True), ("März", True), ("..", False), ("a/../b", False),
    ("/etc", False), ("a/..", False), ("", False), ("a\0b", False), ("a\nb", False), ("a\n", False),
    ("..\n", False)])
def test_a_path_inside_a_folder_leads_nowhere_else(path, fits):
    assert (fault_of(path, INSIDE) is None) == fits


def test_what_earlier_versions_wrote_is_read():
    pattern = os.path.join(checkout.ROOT, "results", "reproduction", "**", "*.json")
    paths = glob.glob(pattern, recursive=True)
    assert len(paths) > 10
    for path in paths:
        read_json(path, OBJECT, "")
