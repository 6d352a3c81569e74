"""Downloads that end whole or with a message: https only, resumed where they were cut, checked."""

import http.client
import json
import os
import re
import ssl
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

from utils.errors import UserError
from utils.files import md5_of_file, require_space

TIMEOUT = 30  # seconds without a byte
TRIES = 6  # connections in a row that bring nothing new
FIRST_WAIT = 1.0  # seconds before the second of them; doubled before each further one
BLOCK = 1 << 16  # bytes
WORTH_RESUMING = 1 << 20  # bytes; a shorter file is begun again by the next process
LOOPBACK = ("127.0.0.1", "::1", "localhost")

ABSENT = (403, 404, 410)  # 403: what S3 answers for a missing file where listing is not allowed
PASSING = (408, 425, 429)  # and all of 500 and above


class Absent(UserError):
    """The server answers that it has no such file."""


class _Passing(Exception):
    """This connection failed; another one may not."""


def _is_loopback(url):
    return urllib.parse.urlsplit(url).hostname in LOOPBACK


def check_address(url, asked=None):
    """Raise UserError unless `url` is https, or http on this very machine.

    asked: the address that redirected to `url`; one elsewhere may not send us to this machine.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme == "https" and not _is_loopback(url):
        return
    if scheme in ("http", "https") and _is_loopback(url) and (not asked or _is_loopback(asked)):
        return
    raise UserError("{}: {} is refused; downloads are made over https only".format(
        asked or url, "a redirect to " + url if asked else "this address"))


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, answer, code, message, headers, url):
        check_address(url, asked=request.full_url)
        return super().redirect_request(request, answer, code, message, headers, url)


_opener = urllib.request.build_opener(_CheckedRedirects)


def begun(path):
    """Whether bytes of an interrupted download to `path` are kept."""
    return _Part(path).length() > 0


class _Part:
    """The first bytes of a file that is being downloaded, beside its place.

    version: dict of the length of the whole ("total", None where unknown) and of what names it at
    the server ("validator", None where nothing does), so that bytes of two versions are never
    joined. It is kept in a second file, which a later process reads.
    """

    def __init__(self, path):
        folder, name = os.path.split(os.path.abspath(path))
        self.path = os.path.join(folder, ".{}.part".format(name))
        self._version_path = self.path + ".json"
        self.version = None
        try:
            with open(self._version_path, encoding="utf-8") as file:
                version = json.load(file)
            self.version = {"validator": version["validator"], "total": version["total"]}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        if self.version is None:
            self.discard()

    def length(self):
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def begin(self, version):
        """Forget all bytes; the next ones are the first of `version`."""
        self.discard()
        if version["total"] is None or version["total"] >= WORTH_RESUMING:
            with open(self._version_path, "w", encoding="utf-8") as file:
                json.dump(version, file)
        self.version = version

    def discard(self):
        self.version = None
        for path in (self.path, self._version_path):  # bytes without a version do no harm
            if os.path.exists(path):
                os.remove(path)

    def publish(self, path):
        """Put the bytes, now whole, in the place of `path`."""
        with open(self.path, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.path, path)
        self.discard()


def download(url, path, size=None, md5=None, bar=True, stop=None):
    """Bring a file from `url` to `path`, whole and checked, or not at all; `path` there is kept.

    A cut connection is resumed where it was cut, by this process or by a later one that is called
    with the same path; connections are tried again, after growing waits.
    size: bytes the file must have. md5: hexadecimal, that it must have. bar: show the progress.
    stop: threading.Event that ends the waits.
    Raises Absent when the server has no such file; UserError when no bytes come, or wrong ones.
    """
    check_address(url)
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part = _Part(path)
    stop = stop or threading.Event()
    furthest, failures, wrong = part.length(), 0, 0
    resumed = furthest > 0
    with _Progress(os.path.basename(path), bar) as progress:
        while True:
            try:
                _receive(url, part, size, md5 is not None, progress)
                found = md5_of_file(part.path) if md5 else None
                if found == md5:
                    break
                part.discard()
                wrong += 1
                if wrong == 2 or not resumed:
                    raise UserError("{}: MD5 is {}, expected {}; what came is not the file that "
                                    "was published, try again later".format(url, found, md5))
                furthest = 0  # once more, from the beginning
            except _Passing as error:
                failures = 1 if part.length() > furthest else failures + 1
                furthest = max(furthest, part.length())
                resumed = part.length() > 0
                wait = FIRST_WAIT * 2 ** (failures - 1)
                if failures < TRIES:
                    progress.say("{}; again in {:.0f} s".format(error, wait))
                if failures == TRIES or stop.wait(wait):
                    raise UserError("{}: {}; gave up after {} tries, the same command continues"
                                    .format(url, error, failures))
    part.publish(path)


class _Progress:
    """A progress bar in bytes, or none."""

    def __init__(self, name, shown):
        from tqdm import tqdm

        self._bar = tqdm(desc=name, unit="B", unit_scale=True, unit_divisor=1000,
                         disable=not shown)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def say(self, message):
        if not self._bar.disable:
            self._bar.write(message, file=sys.stderr)

    def at(self, done, total):
        self._bar.total = total
        self._bar.update(done - self._bar.n)


def _receive(url, part, size, has_checksum, progress):
    """Over one connection, add to `part` what it lacks.

    Returns when the part is as long as the whole. Raises _Passing when the connection failed or
    was cut, UserError when another one would do no better.
    """
    done = part.length()
    if done and not part.version["validator"]:
        part.discard()  # nothing to ask for the rest of the same version with
        done = 0
    if done and done == part.version["total"]:
        return
    headers = {}
    if done:
        headers = {"Range": "bytes={}-".format(done), "If-Range": part.version["validator"]}
    with _open(url, headers, part) as answer:
        if answer.status == 206:
            total = _continued_total(answer, part, done)
            if total is None:
                part.discard()
                raise _Passing("the server answered another range than was asked for")
        else:
            total = answer.length
            if total is None and not answer.chunked and size is None and not has_checksum:
                raise UserError("{}: the server does not say how long the file is, so that a cut "
                                "one could not be told; try again later".format(url))
            if size is not None and total not in (None, size):
                raise UserError("{}: {:,} bytes, expected {:,}; this is not the file that was "
                                "published".format(url, total, size))
            total = size if total is None else total
            part.begin({"validator": _validator(answer), "total": total})
        if total is not None:
            require_space(os.path.dirname(part.path), total - part.length())
        _append(answer, part.path, total, progress)
    if total is not None and part.length() < total:
        raise _Passing("the connection was cut at {:,} of {:,} bytes".format(part.length(), total))
    if total is not None and part.length() > total:
        part.discard()
        raise UserError("{}: more than the expected {:,} bytes; this is not the file that was "
                        "published".format(url, total))


def _append(answer, path, total, progress):
    """Add the bytes of an answer to a file, at most one block beyond `total`."""
    try:
        with open(path, "ab") as file:
            while total is None or file.tell() <= total:
                progress.at(file.tell(), total)
                block = _read(answer)
                if not block:
                    break
                file.write(block)
    except OSError as error:  # of the disk: those of the connection come as _Passing
        raise UserError("{}: {}; the same command continues once it can be written".format(
            path, error.strerror))


def _open(url, headers, part):
    """The server's answer, with status, headers, length and read(). Raises as _receive does."""
    try:
        return _opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        answer = "the server answers {} {}".format(error.code, error.reason)
        if error.code == 416 and headers:  # the file has become shorter than what we have of it
            part.discard()
            raise _Passing(answer)
        if error.code in ABSENT:
            raise Absent("{}: {}".format(url, answer))
        if error.code in PASSING or error.code >= 500:
            raise _Passing(answer)
        raise UserError("{}: {}".format(url, answer))
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise UserError("{}: the server cannot prove who it is ({}); check this machine's "
                            "clock and certificates".format(url, reason))
        raise _Passing(_text(reason))


def _read(answer):
    """The next bytes of an answer, none at its end or where it was cut."""
    try:
        return answer.read(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _Passing("the connection was cut ({})".format(_text(error)))


def _text(error):
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _validator(answer):
    """What names this version of a file in If-Range: a strong ETag, else its date, else None."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def _continued_total(answer, part, done):
    """The length of the whole, if a partial answer holds all from `done` on; else None."""
    found = re.match(r"bytes (\d+)-(\d+)/(\d+)$", answer.headers.get("Content-Range", ""))
    if not done or not found or _validator(answer) not in (None, part.version["validator"]):
        return None
    first, last, total = map(int, found.groups())
    fits = (first, last) == (done, total - 1) and part.version["total"] in (None, total)
    return total if fits else None
