"""Downloads from a server that cuts, forgets, refuses and lies: right at the end, or a message."""

import collections
import errno
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

import checkout
from data import download as module
from data.download import Absent, check_address, download
from utils import files
from utils.errors import UserError
from web import Site, serving

FILE = random.Random(0).getrandbits(8 * 4000000).to_bytes(4000000, "big")
MD5 = hashlib.md5(FILE).hexdigest()
Usage = collections.namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def fetch(tmp_path, behaviour=lambda path, number: {}, content=FILE, **options):
    """Download one file, `content`, from a site of that behaviour; returns the site."""
    with serving(Site({"/file": content}, behaviour)) as site:
        download(site.address + "/file", str(tmp_path / "file"), bar=False, **options)
    return site


def assert_whole(tmp_path, content=FILE):
    assert os.listdir(str(tmp_path)) == ["file"]
    assert (tmp_path / "file").read_bytes() == content


def assert_nothing(tmp_path):
    """Nothing that could be taken for the file."""
    assert all(name.startswith(".") for name in os.listdir(str(tmp_path)))


@pytest.mark.parametrize("content", [FILE, b"short", b""], ids=len)
def test_a_file_arrives_whole_in_one_request(tmp_path, content):
    site = fetch(tmp_path, content=content, size=len(content),
                 md5=hashlib.md5(content).hexdigest())
    assert_whole(tmp_path, content)
    assert site.asked == [("/file", None)]


def test_a_file_that_is_there_is_not_asked_for(tmp_path):
    (tmp_path / "file").write_bytes(b"there")
    assert fetch(tmp_path).asked == []
    assert_whole(tmp_path, b"there")


@pytest.mark.parametrize("cut", [0, 1, 65536, 100001, len(FILE) - 1])
def test_a_cut_connection_is_resumed_where_it_was_cut(tmp_path, cut):
    site = fetch(tmp_path, lambda path, number: {"cut": cut} if number < 4 else {}, md5=MD5)
    assert_whole(tmp_path)
    offsets = [int(wanted[6:-1]) if wanted else 0 for _, wanted in site.asked]
    assert offsets == sorted(offsets)
    if cut:
        assert offsets == list(range(0, min(5 * cut, len(FILE)), cut))[:5]
        assert site.sent == len(FILE)


def test_more_cuts_than_tries_are_survived_while_each_brings_something(tmp_path):
    site = fetch(tmp_path, lambda path, number: {"cut": len(FILE) // 30 + 1})
    assert_whole(tmp_path)
    assert len(site.asked) == 30 > 2 * module.TRIES


@pytest.mark.parametrize("how", [{"ranges": False}, {"etag": ""}, {"etag": 'W/"weak"'}], ids=str)
def test_without_ranges_or_a_version_a_cut_file_is_begun_again(tmp_path, how):
    site = fetch(tmp_path, lambda path, number: dict(
        how, **({"cut": 70000} if number < 3 else {})), md5=MD5)
    assert_whole(tmp_path)
    assert "etag" not in how or all(wanted is None for _, wanted in site.asked)


@pytest.mark.parametrize("how", [{"ranges": False}, {}], ids=["no ranges", "nothing"])
def test_a_connection_that_is_cut_again_and_again_ends_with_a_message(tmp_path, how):
    def behaviour(path, number):
        return dict(how, cut=70000) if number == 0 or how else {"cut": 0}

    with pytest.raises(UserError, match=r"cut at 70,000 of 4,000,000 bytes.* 6 tries.*continues"):
        fetch(tmp_path, behaviour)
    assert_nothing(tmp_path)
    fetch(tmp_path)
    assert_whole(tmp_path)


def test_a_version_that_changes_between_two_connections_is_not_joined(tmp_path):
    other = FILE[::-1]
    fetch(tmp_path, lambda path, number: {"cut": 70000} if number == 0 else {"body": other})
    assert_whole(tmp_path, other)


class Ignoring(Site):
    """A server that knows ranges and nothing of If-Range."""

    def answer(self, handler):
        del handler.headers["If-Range"]
        super().answer(handler)


def test_a_version_that_changes_is_not_joined_even_if_the_server_ignores_if_range(tmp_path):
    def behaviour(path, number):
        return ({"cut": 70000}, {"body": FILE[::-1], "etag": '"2"', "content_range":
                "bytes 70000-3999999/4000000"}, {"body": FILE[::-1], "etag": '"2"'})[min(number, 2)]

    with serving(Ignoring({"/file": FILE}, behaviour)) as site:
        download(site.address + "/file", str(tmp_path / "file"), bar=False)
    assert_whole(tmp_path, FILE[::-1])


@pytest.mark.parametrize("start, content_range", [
    (0, "bytes 0-3999999/4000000"), (70001, "bytes 70001-3999999/4000000"),
    (69999, "bytes 69999-3999999/4000000"), (70000, "bytes 70000-3999999/4000001"),
    (70001, "bytes 70000-3999998/4000000"), (70001, "nonsense")])
def test_an_answer_to_another_range_is_thrown_away(tmp_path, start, content_range):
    fetch(tmp_path, lambda path, number: (
        {"cut": 70000}, {"start": start, "content_range": content_range}, {})[min(number, 2)])
    assert_whole(tmp_path)


def test_a_file_that_became_shorter_is_begun_again(tmp_path):
    with pytest.raises(UserError, match="gave up"):
        fetch(tmp_path, lambda path, number: {"cut": 0 if number else 3000000})
    shorter = FILE[:2000000]
    with serving(Ignoring({"/file": shorter})) as site:
        download(site.address + "/file", str(tmp_path / "file"), bar=False)
    assert_whole(tmp_path, shorter)
    assert [wanted for _, wanted in site.asked] == ["bytes=3000000-", None]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_busy_or_broken_is_asked_again(tmp_path, status):
    site = fetch(tmp_path, lambda path, number: {"status": status} if number < 3 else {})
    assert_whole(tmp_path)
    assert len(site.asked) == 4


def test_a_server_that_stays_broken_ends_with_a_message_that_names_it(tmp_path):
    with pytest.raises(UserError, match="/file: the server answers 503 .* gave up after 6 tries"):
        fetch(tmp_path, lambda path, number: {"status": 503})
    assert_nothing(tmp_path)


@pytest.mark.parametrize("status, kind", [(403, Absent), (404, Absent), (410, Absent),
                                          (400, UserError), (401, UserError)])
def test_a_refusal_is_final(tmp_path, status, kind):
    with serving(Site({}, lambda path, number: {"status": status})) as site:
        with pytest.raises(kind, match="/file: the server answers {}".format(status)) as caught:
            download(site.address + "/file", str(tmp_path / "file"), bar=False)
    assert type(caught.value) is kind
    assert len(site.asked) == 1
    assert_nothing(tmp_path)


def test_a_file_of_another_length_is_refused_before_it_is_loaded(tmp_path):
    with pytest.raises(UserError, match="4,000,000 bytes, expected 5,000,000"):
        fetch(tmp_path, size=5000000)
    assert_nothing(tmp_path)


def test_a_length_that_is_not_kept_is_no_whole_file(tmp_path):
    with pytest.raises(UserError, match="cut at 4,000,000 of 4,000,001"):
        fetch(tmp_path, lambda path, number: {"length": len(FILE) + 1, "ranges": False})
    assert_nothing(tmp_path)


def test_wrong_bytes_are_refused_and_not_kept(tmp_path):
    with pytest.raises(UserError, match="MD5 is [0-9a-f]{32}, expected " + MD5):
        fetch(tmp_path, lambda path, number: {"body": FILE[:-1] + b"?"}, md5=MD5)
    assert os.listdir(str(tmp_path)) == []


def test_wrong_bytes_in_what_was_kept_are_loaded_again(tmp_path):
    with pytest.raises(UserError):
        fetch(tmp_path, lambda path, number: {"cut": 0 if number else 3000000}, md5=MD5)
    with open(str(tmp_path / ".file.part"), "rb+") as file:
        file.write(b"?")
    fetch(tmp_path, md5=MD5)
    assert_whole(tmp_path)


def test_kept_bytes_of_no_known_version_are_loaded_again(tmp_path):
    (tmp_path / ".file.part").write_bytes(b"?" * 1000000)
    for note in ("{", '{"validator": 1}', "[]"):
        (tmp_path / ".file.part.json").write_text(note)
        fetch(tmp_path)
        assert_whole(tmp_path)
        (tmp_path / "file").unlink()


def test_an_end_that_cannot_be_told_from_a_cut_is_accepted_only_with_a_check(tmp_path):
    how = {"length": False, "etag": ""}
    with pytest.raises(UserError, match="does not say how long"):
        fetch(tmp_path, lambda path, number: how)
    assert_nothing(tmp_path)
    for options in ({"md5": MD5}, {"size": len(FILE)}):
        fetch(tmp_path, lambda path, number: how, **options)
        assert_whole(tmp_path)
        (tmp_path / "file").unlink()
    with pytest.raises(UserError, match="more than the expected"):
        fetch(tmp_path, lambda path, number: how, size=len(FILE) - 1)
    assert_nothing(tmp_path)


def test_chunks_end_where_the_server_says_and_nowhere_else(tmp_path):
    site = fetch(tmp_path, lambda path, number: dict(
        {"chunked": True}, **({"cut": 3000000} if number == 0 else {})))
    assert_whole(tmp_path)
    assert len(site.asked) == 2


def test_a_server_that_falls_silent_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.3)
    site = fetch(tmp_path, lambda path, number: {"delay": 0.8} if number == 0 else {},
                 content=FILE[:8192])
    assert_whole(tmp_path, FILE[:8192])
    assert len(site.asked) >= 2


def test_no_server_at_all_is_a_message(tmp_path):
    with serving(Site({})) as site:
        pass
    with pytest.raises(UserError, match="refused.*gave up"):
        download(site.address + "/file", str(tmp_path / "file"), bar=False)


def test_a_stop_ends_the_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FIRST_WAIT", 60)
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.time()
    with pytest.raises(UserError, match="503"):
        fetch(tmp_path, lambda path, number: {"status": 503}, stop=stop)
    assert time.time() - began < 10


@pytest.mark.parametrize("url", [
    "http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "example.org/a",
    "http://127.0.0.1.example.org/a", "http://localhost@example.org/a", "HTTP://EXAMPLE.ORG/a"])
def test_only_https_is_loaded_from(tmp_path, url):
    with pytest.raises(UserError, match="over https only"):
        download(url, str(tmp_path / "file"))
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("location", ["http://example.org/b", "file:///etc/passwd",
                                      "ftp://127.0.0.1/b"])
def test_a_redirect_to_anything_but_https_is_refused(tmp_path, location):
    with pytest.raises(UserError, match="redirect to .* is refused|not allowed"):
        fetch(tmp_path, lambda path, number: {"location": location})
    assert_nothing(tmp_path)


def test_a_redirect_from_elsewhere_to_this_machine_is_refused():
    check_address("https://example.org/b", asked="https://example.com/a")
    for url in ("https://127.0.0.1/b", "http://localhost/b"):
        with pytest.raises(UserError, match="redirect"):
            check_address(url, asked="https://example.org/a")


def test_a_redirect_keeps_the_range(tmp_path):
    site = fetch(tmp_path, lambda path, number: ({"cut": 2000000}, {"location": "/moved"})[number]
                 if path == "/file" else {"body": FILE})
    assert_whole(tmp_path)
    assert site.asked[2] == ("/moved", "bytes=2000000-")


def test_a_disk_without_space_is_found_before_the_bytes_come(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, len(FILE) - 1))
    with pytest.raises(UserError, match="GB free, .* GB needed"):
        fetch(tmp_path)
    assert_nothing(tmp_path)
    with pytest.raises(UserError, match="2.0 GB needed"):
        files.require_space(str(tmp_path), 2e9)


def test_a_disk_that_fills_up_keeps_what_it_has(tmp_path, monkeypatch):
    real = open

    def full(path, mode="r", *rest, **options):
        file = real(path, mode, *rest, **options)
        if mode != "ab":
            return file

        class Full:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def tell(self):
                return file.tell()

            def write(self, block):
                if file.tell() > 2000000:
                    raise OSError(errno.ENOSPC, "No space left on device")
                file.write(block)
        return Full()

    monkeypatch.setattr(module, "open", full, raising=False)
    with pytest.raises(UserError, match="No space left on device; the same command continues"):
        fetch(tmp_path)
    assert_nothing(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = fetch(tmp_path)
    assert_whole(tmp_path)
    assert site.sent < len(FILE) / 2 + 100000


def test_a_download_killed_at_20_random_moments_ends_with_the_same_bytes(tmp_path):
    """Each process is killed after a random number of bytes; the last one ends by itself."""
    command = ("import sys; sys.path.insert(0, {!r})\nfrom data.download import download\n"
               "download(sys.argv[1], sys.argv[2], md5={!r})".format(checkout.ROOT, MD5))
    random.seed(1)
    kills = 0
    with serving(Site({"/file": FILE}, lambda path, number: {"delay": 0.001})) as site:
        words = [sys.executable, "-c", command, site.address + "/file", str(tmp_path / "file")]
        while kills < 20:
            until = site.sent + random.randint(0, len(FILE) // 40)
            asked = len(site.asked)
            process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            while process.poll() is None and (len(site.asked) == asked or site.sent < until):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
            assert_nothing(tmp_path)
            kills += 1
        subprocess.check_call(words, stderr=subprocess.DEVNULL)
    assert_whole(tmp_path)
    assert sum(wanted is not None for _, wanted in site.asked) >= 15  # most of them resumed
