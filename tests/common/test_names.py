"""Which names are refused, and how the names that are taken reach the terminal."""

import argparse
import os
import subprocess
import sys

import pytest

import checkout
from utils.common import arguments, names
from utils.common.errors import UserError
from utils.common.terminal import printable

NOT_UTF_8 = os.fsdecode(b"m\xe4rz")
UNFIT = {"": "is empty", " ": "is empty", NOT_UTF_8: "is not UTF-8",
         "a\nb": "holds a control character", "\x1b[31mred": "holds a control character",
         "a\x9bb": "holds a control character", "a\u202eb": "holds a control character",
         "a\u2028b": "holds a line separator"}
NO_FILE = {"a/b": "is no plain name but a path", "..": "is no plain name but a path",
           "x/../../../victim/cell": "is no plain name but a path",
           ".hidden": "begins with a dot", " a": "begins or ends with a blank"}


@pytest.mark.parametrize("name", UNFIT)
def test_a_name_that_is_not_utf_8_or_holds_a_control_character_is_refused(name):
    for check in (names.require_name, names.require_file_name):
        with pytest.raises(UserError, match="class 3 of a.csv: the name.*" + UNFIT[name]) as caught:
            check(name, "class 3 of a.csv")
        assert printable(str(caught.value)) == str(caught.value)


@pytest.mark.parametrize("name", NO_FILE)
def test_a_name_that_becomes_part_of_a_path_must_be_plain(name):
    assert names.require_name(name, "") == name
    with pytest.raises(UserError, match="run.json: attack: the name.*" + NO_FILE[name]):
        names.require_file_name(name, "run.json: attack")
    with pytest.raises(argparse.ArgumentTypeError, match="expected a plain name.*" + NO_FILE[name]):
        arguments.folder_name(name)


@pytest.mark.parametrize("name", [
    "MEL", "Nävus", "基底细胞癌", "=1+1", "$x_1$", "a|b", "<b>", "a b"])
def test_every_other_name_is_taken(name):
    for check in (names.require_name, names.require_file_name):
        assert check(name, "") == name
    assert arguments.folder_name(name) == name and printable(name) == name


def test_what_is_printed_holds_escapes_in_the_place_of_characters_that_command_the_terminal():
    assert printable("a\x1b[31m\n\x7f\u2028" + NOT_UTF_8) == "a\\x1b[31m\\n\\x7f\\u2028m\\xe4rz"


def test_a_message_is_one_line_without_escape_sequences_whatever_the_file_is_called():
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
         "from utils.common.errors import UserError, run_script\n"
         "def main():\n"
         "    print('m\\udce4rz')\n"
         "    raise UserError('a\\x1b[31m\\nb m\\udce4rz: not found')\n"
         "run_script(main)", checkout.ROOT], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == b"error: a\\x1b[31m\\nb m\\xe4rz: not found\n"
    assert done.stdout == b"m\\udce4rz\n"
