"""What counts as an image in a folder: links that lead back, other endings, what is no file."""

import errno
import os
import sys

import pytest

from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.images import folders
from utils.images.folders import find_images, list_images


def touch(folder, *names):
    for name in names:
        path = folder / name
        os.makedirs(str(path.parent), exist_ok=True)
        path.write_bytes(b"")


def test_a_link_that_leads_back_leads_nowhere_new(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "itself").symlink_to(tmp_path)
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "other").symlink_to("../b")
    (tmp_path / "b" / "other").symlink_to("../a")
    assert find_images(str(tmp_path)).files == [
        "a/1.jpg", "a/other/2.jpg", "b/2.jpg", "b/other/1.jpg"]


def test_a_folder_that_is_a_link_itself_is_searched(tmp_path):
    touch(tmp_path, "store/1.jpg")
    (tmp_path / "photographs").symlink_to("store")
    (tmp_path / "store" / "photographs").symlink_to(tmp_path / "store")
    assert list_images(str(tmp_path / "photographs")) == ["1.jpg"]


def test_folders_nested_deeper_than_functions_may_call_each_other_are_searched(
        tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "d/" * 320 + "a.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        assert find_images(str(tmp_path)).files == ["d/" * 320 + "a.jpg"]
    finally:
        sys.setrecursionlimit(limit)


def test_what_was_skipped_is_said_in_one_line_by_ending(tmp_path, capsys):
    touch(tmp_path, "1.jpg", "a/2.JFIF", "3.jpe", "x.dcm", "a/y.DCM", "z.heic", "w.avif", "v.webp",
          "noending", ".hidden", "esc.\x1b[31m")
    os.mkfifo(str(tmp_path / "pipe.jpg"))
    assert list_images(str(tmp_path)) == ["1.jpg", "3.jpe", "a/2.JFIF"]
    line, = capsys.readouterr().out.splitlines()
    assert f"{tmp_path}: 3 images; skipped are 8 other files: 2 .dcm, " in line
    for words in ("1 .heic", "1 .avif", "1 .webp", "1 without an ending",
                  "1 pipe, socket or device", "1 .\\x1b[31m"):
        assert words in line


def test_nothing_is_said_where_nothing_was_skipped(tmp_path, capsys):
    touch(tmp_path, "1.jpg", ".DS_Store")
    list_images(str(tmp_path))
    assert capsys.readouterr().out == ""


def test_a_folder_without_images_is_an_error_that_says_what_is_there(tmp_path):
    touch(tmp_path, "1.dcm", "2.dcm")
    with pytest.raises(UserError, match=r"no image in this folder, 2 other files: 2 \.dcm"):
        list_images(str(tmp_path))


@pytest.mark.parametrize("below", ["", "a"])
def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(tmp_path, monkeypatch, below):
    touch(tmp_path, "a/1.jpg", "2.jpg")
    scandir = os.scandir

    def flaky(path):
        if os.path.realpath(path) == os.path.realpath(str(tmp_path / below)):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", flaky)
    with pytest.raises(UserError, match="cannot be listed .Input/output error"):
        find_images(str(tmp_path))


def test_a_link_whose_image_is_missing_is_listed_so_that_it_is_missed(tmp_path):
    (tmp_path / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "circle.jpg").symlink_to("circle.jpg")
    assert find_images(str(tmp_path)).files == ["circle.jpg", "gone.jpg"]
    assert find_images(str(tmp_path / "missing")).files == []


@pytest.mark.parametrize("name", ["a\nb.jpg", "\x1b[31m/a.jpg", "a\u202egpj.jpg"])
def test_an_image_whose_name_holds_a_control_character_is_refused(tmp_path, name):
    touch(tmp_path, name)
    with pytest.raises(UserError, match="an image: the name '.*' holds a control character") as e:
        list_images(str(tmp_path))
    assert printable(str(e.value)) == str(e.value)


def test_an_image_whose_name_is_not_utf8_is_an_image(tmp_path):
    touch(tmp_path, "m\udce4rz.jpg", "\u200d.jpg")
    assert list_images(str(tmp_path)) == ["m\udce4rz.jpg", "\u200d.jpg"]
