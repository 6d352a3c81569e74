"""Downloads from a server that cuts, forgets, refuses and lies: right at the end, or a message."""

import errno
import gzip
import hashlib
import os
import random
import shutil
import signal
import time
import types

import pytest

import web
from data import download as module
from data.download import Absent, download
from utils.common.errors import UserError
from web import Site, serving

FILE = random.Random(0).getrandbits(8 * 4000000).to_bytes(4000000, "big")
OTHER = FILE[::-1]
MD5 = hashlib.md5(FILE).hexdigest()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    web.allow(monkeypatch)


def fetch(tmp_path, *behaviour, content=FILE, site=Site, **options):
    """Download one file from a site that does, for each request, the next of `behaviour`.

    The last one counts for all further requests. Returns the site.
    """
    def how(path, number):
        return behaviour[min(number, len(behaviour) - 1)] if behaviour else {}

    with serving(site({"/file": content}, how)) as site:
        download(site.address + "/file", str(tmp_path / "file"), **options)
    return site


def assert_whole(tmp_path, content=FILE):
    assert os.listdir(str(tmp_path)) == ["file"]
    assert (tmp_path / "file").read_bytes() == content


def assert_nothing(tmp_path):
    """Nothing that could be taken for the file."""
    assert all(name.startswith(".") for name in os.listdir(str(tmp_path)))


@pytest.mark.parametrize("content", [FILE, b"short"], ids=len)
def test_a_file_arrives_whole_in_one_request(tmp_path, content):
    site = fetch(tmp_path, content=content, size=len(content),
                 md5=hashlib.md5(content).hexdigest())
    assert_whole(tmp_path, content)
    assert site.asked == [("/file", None)]
    assert fetch(tmp_path, content=OTHER).asked == []  # it is there
    assert_whole(tmp_path, content)


@pytest.mark.parametrize("cut", [65536, 100001, len(FILE) - 1])
def test_a_cut_connection_is_resumed_where_it_was_cut(tmp_path, cut):
    """But for what came of a last block."""
    site = fetch(tmp_path, *[{"cut": cut}] * 4 + [{}], md5=MD5)
    assert_whole(tmp_path)
    offsets = [int(wanted[6:-1]) if wanted else 0 for _, wanted in site.asked]
    step = cut // module.RECEIVE_BYTES * module.RECEIVE_BYTES
    assert offsets == list(range(0, min(5 * step, len(FILE)), step))[:5]


def test_more_cuts_than_tries_are_survived_while_each_brings_something(tmp_path):
    site = fetch(tmp_path, {"cut": len(FILE) // 30 + 1})
    assert_whole(tmp_path)
    assert len(site.asked) >= 30 > 2 * module.TRIES


class Ignoring(Site):
    """A server that knows ranges and nothing of If-Range."""

    def answer(self, handler):
        del handler.headers["If-Range"]
        super().answer(handler)


def rest(text, **how):
    return [{"cut": 70000}, dict(how, content_range=text), {}]


# What the server does, and the content that is there at the end.
BEGUN_AGAIN = {
    "no ranges": ([{"ranges": False, "cut": 70000}] * 3 + [{}], FILE),
    "no version": ([{"etag": "", "cut": 70000}] * 3 + [{}], FILE),
    "a weak version": ([{"etag": 'W/"weak"', "cut": 70000}] * 3 + [{}], FILE),
    "another version": ([{"cut": 70000}, {"body": OTHER}], OTHER),
    "another version, called a part": (
        [{"cut": 70000}, {"body": OTHER, "etag": '"2"'}, {"body": OTHER, "etag": '"2"'}], OTHER),
    "the first version again": ([{"cut": 70000}, {"body": OTHER, "cut": 70000, "etag": ""}, {}],
                                FILE),
    "a shorter file": ([{"cut": 3000000}, {"body": FILE[:2000000]}, {"body": FILE[:2000000]}],
                       FILE[:2000000]),
    "a part from 0": (rest("bytes 0-3999999/4000000", start=0), FILE),
    "a part that begins later": (rest("bytes 70001-3999999/4000000", start=70001), FILE),
    "a part of nonsense": (rest("nonsense", start=70001), FILE),
    "a part of a file of unknown length": (rest("bytes 65536-3999999/*"), FILE),
}


@pytest.mark.parametrize("site", [Site, Ignoring])
@pytest.mark.parametrize("kind", BEGUN_AGAIN)
def test_bytes_of_two_versions_or_places_are_never_joined(tmp_path, kind, site):
    behaviour, content = BEGUN_AGAIN[kind]
    fetch(tmp_path, *behaviour, site=site)
    assert_whole(tmp_path, content)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_or_broken_is_asked_again(tmp_path, status):
    assert len(fetch(tmp_path, *[{"status": status}] * 3 + [{}]).asked) == 4
    assert_whole(tmp_path)


def test_a_part_that_is_shorter_than_the_rest_is_not_taken_for_the_whole(tmp_path):
    """Neither the size nor the MD5 is known, and each part is whole as an answer."""
    def part(start, end):
        return {"content_range": f"bytes {start}-{end - 1}/{len(FILE)}",
                "length": end - start, "cut": end - start}

    fetch(tmp_path, {"cut": 70000}, part(65536, 131072), part(131072, 200000), {})
    assert_whole(tmp_path)


def test_what_comes_is_never_written_beyond_what_is_expected(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(module.tqdm, "update", lambda bar, n: written.append(n))
    for how in ({"length": False, "body": 10 * FILE},
                {"body": gzip.compress(bytes(10 * len(FILE))), "encoding": "gzip"}):
        with pytest.raises(UserError):
            fetch(tmp_path, how, size=len(FILE))
        assert sum(written) <= len(FILE)


def test_a_partial_file_that_is_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("what somebody would miss")
    (tmp_path / ".file.partial").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError, match="file.partial: is a symbolic link.*; remove it"):
        fetch(tmp_path)
    assert (tmp_path / "victim").read_text() == "what somebody would miss"


CUT = r"cut 6 times in a row, after 65,536 bytes at most; the same command continues"
REFUSED = {
    "cut again and again": ([{"cut": 70000}, {"cut": 0}], {}, CUT),
    "cut where it cannot continue": ([{"ranges": False, "cut": 70000}], {}, CUT),
    "broken for good": ([{"status": 503}], {}, "503.*gave up, the same command continues"),
    "another length": ([{}], {"size": 5000000}, "4,000,000 bytes, expected 5,000,000"),
    "a length that is not kept": ([{"length": len(FILE) + 1, "ranges": False}], {}, "cut 6 times"),
    "an end that could be a cut": ([{"length": False}], {"md5": MD5}, "does not say how long"),
    "more than was published": ([{"length": False}], {"size": len(FILE) - 1},
                                "more than the 3,999,999 bytes that were expected"),
    "a body without end": ([{"length": False, "body": 10 * FILE}], {"size": len(FILE)},
                           "more than the 4,000,000 bytes that were expected"),
    "a packed file": ([{"body": gzip.compress(bytes(10 ** 7)), "encoding": "gzip"}], {},
                      "the server sends the file packed by gzip, which it was asked not to do"),
    "a part of another file": (
        [{"cut": 70000}, {"content_range": "bytes 65536-3999999/4000001"}], {"size": len(FILE)},
        "4,000,001 bytes, expected 4,000,000"),
    "wrong bytes": ([{"body": FILE[:-1] + b"?"}], {"md5": MD5},
                    "MD5 is [0-9a-f]{32}, expected " + MD5),
    "bad request": ([{"status": 400}], {}, "400 Client Error"),
    "http elsewhere": ([{"location": "http://example.org/b"}], {}, "example.org.*over https only"),
    "a file": ([{"location": "file:///etc/passwd"}], {}, "passwd.*over https only"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_the_whole_file_ends_with_a_message_and_can_be_begun_again(tmp_path, kind):
    behaviour, options, message = REFUSED[kind]
    with pytest.raises(UserError, match="/file: .*" + message):
        fetch(tmp_path, *behaviour, **options)
    assert_nothing(tmp_path)
    fetch(tmp_path)
    assert_whole(tmp_path)


@pytest.mark.parametrize("status, kind", [(403, Absent), (404, Absent), (410, Absent),
                                          (401, UserError)])
def test_a_refusal_is_final(tmp_path, status, kind):
    asked = []
    with pytest.raises(kind, match=f"/file: .*{status}") as caught:
        fetch(tmp_path, {"status": status}, site=lambda files, how: Site(
            files, lambda *request: asked.append(request) or how(*request)))
    assert type(caught.value) is kind and len(asked) == 1
    assert_nothing(tmp_path)


def test_a_file_of_unknown_length_is_accepted_where_its_size_was_published(tmp_path):
    fetch(tmp_path, {"length": False}, size=len(FILE))
    assert_whole(tmp_path)


def test_a_server_that_falls_silent_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    site = fetch(tmp_path, {"delay": 0.8}, {}, content=FILE[:8192])
    assert_whole(tmp_path, FILE[:8192])
    assert len(site.asked) >= 2


@pytest.mark.parametrize("url", [
    "http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "example.org/a",
    "http://localhost@example.org/a", "HTTP://EXAMPLE.ORG/a", "http://127.0.0.1/a"])
def test_only_https_is_loaded_from(tmp_path, url, monkeypatch):
    monkeypatch.undo()  # loopback is for tests
    with pytest.raises(UserError, match="over https only"):
        download(url, str(tmp_path / "file"))
    assert_nothing(tmp_path)


def test_a_disk_without_space_is_found_before_the_bytes_come(tmp_path, monkeypatch):
    usage = types.SimpleNamespace(free=len(FILE) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="GB free, .* GB needed"):
        fetch(tmp_path)
    assert_nothing(tmp_path)


def test_a_disk_that_fills_up_keeps_what_it_has(tmp_path, monkeypatch):
    def update(bar, n):
        bar.n += n
        if bar.n > 2000000:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.tqdm, "update", update)  # is called after each block
        with pytest.raises(UserError, match="cannot be written .No space left"):
            fetch(tmp_path)
    assert_nothing(tmp_path)
    site = fetch(tmp_path)
    assert_whole(tmp_path)
    assert site.sent < len(FILE) / 2 + 100000


def test_a_download_killed_at_20_random_moments_ends_with_the_same_bytes(tmp_path):
    """Each process is killed after a random number of bytes; the last one ends by itself."""
    random.seed(1)
    with serving(Site({"/file": FILE}, lambda path, number: {"delay": 0.0005})) as site:
        for _ in range(20):
            asked, until = len(site.asked), site.sent + random.randint(0, len(FILE) // 20)
            child = os.fork()
            if not child:
                signal.alarm(60)
                download(site.address + "/file", str(tmp_path / "file"), md5=MD5)
                os._exit(0)
            while len(site.asked) == asked or site.sent < until:
                time.sleep(0.001)
            os.kill(child, signal.SIGKILL)
            assert os.waitpid(child, 0)[1] == signal.SIGKILL
            assert_nothing(tmp_path)
        download(site.address + "/file", str(tmp_path / "file"), md5=MD5)
    assert_whole(tmp_path)
    assert sum(wanted is not None for _, wanted in site.asked) >= 15  # most of them resumed
