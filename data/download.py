"""Downloads that end whole or with a message: https only, resumed where they were cut, checked."""

import contextlib
import os
import time

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util.retry import Retry

from utils.errors import UserError
from utils.files import md5_of_file, require_space, unfinished, write_text, writing

TIMEOUT = 30  # seconds without a byte
BLOCK = 1 << 16  # bytes
CONNECTIONS = 16  # at a time
WORTH_RESUMING = 1 << 20  # bytes; a shorter file is begun again
VERSION = ".version"  # ends the name of the file that holds the version of an unfinished one
TRIES = 6  # connections in a row that bring nothing new
ABSENT = (403, 404, 410)  # 403: what S3 answers for a missing file where listing is not allowed

RETRY = Retry(total=TRIES - 1, backoff_factor=1,
              status_forcelist=(408, 425, 429, 500, 502, 503, 504))
SESSION = requests.Session()
SESSION.adapters.clear()  # so that no redirect leads away from https either
SESSION.mount("https://", HTTPAdapter(max_retries=RETRY, pool_maxsize=CONNECTIONS))
SESSION.headers["Accept-Encoding"] = "identity"  # lengths and ranges are those of the file


class Absent(UserError):
    """The server answers that it has no such file."""


def download(url, path, size=None, md5=None, bar=True):
    """Bring a file from `url` to `path`, whole and checked, or not at all; `path` there is kept.

    A cut connection is resumed where it was cut, by this process or by a later one. size: bytes,
    md5: hexadecimal, that the file must have. bar: show the progress.
    Raises Absent when the server has no such file; UserError.
    """
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part, furthest, vain, whole = unfinished(path), 0, 0, False
    while not whole:
        whole, length = _receive(url, path, size, md5, bar)
        furthest, vain = max(furthest, length), 0 if length > furthest else vain + 1
        if vain == TRIES and not whole:
            raise UserError("{}: cut {} times in a row, after {:,} bytes at most; the same command "
                            "continues".format(url, vain, furthest))
        time.sleep(0 if whole else RETRY.backoff_factor * 2 ** vain)
    found = md5_of_file(part) if md5 else None
    if found == md5:
        os.replace(part, path)
    for left in (part, part + VERSION):
        with contextlib.suppress(FileNotFoundError):
            os.remove(left)
    if found != md5:
        raise UserError("{}: MD5 is {}, expected {}; what came is removed, try again later".format(
            url, found, md5))


def _receive(url, path, size, md5, bar):
    """Add what one connection brings to the unfinished file.

    The length of the whole and its version, an ETag or date, are kept beside it: bytes of two
    versions are never joined. Returns (whether it is whole, its bytes). Raises Absent, UserError.
    """
    part, name = unfinished(path), os.path.basename(path) if bar else None
    total = version = None
    with contextlib.suppress(FileNotFoundError), open(part + VERSION) as file:
        total, _, version = file.read().partition(" ")
    with writing(path), open(part, "ab") as file:
        if str(file.tell()) == total:
            return True, file.tell()
        headers = {"Range": "bytes={}-".format(file.tell()), "If-Range": version}
        with _get(url, headers if file.tell() and version else {}) as answer:
            found = answer.headers.get("ETag", "")
            found = found if found.startswith('"') else answer.headers.get("Last-Modified", "")
            if answer.status_code != 200 and found == version and answer.headers.get(
                    "Content-Range", "").startswith("bytes {}-".format(file.tell())):
                return _append(answer, file, int(total), name)
            file.truncate(0)
            if answer.status_code != 200:
                return False, 0  # it became another file
            total = answer.raw.length_remaining
            if None not in (total, size) and total != size:
                raise UserError("{}: {:,} bytes, expected {:,}; this is not the file that was "
                                "published".format(url, total, size))
            total = size if total is None else total
            if total is None and not md5 and "Transfer-Encoding" not in answer.headers:
                raise UserError("{}: the server does not say how long the file is, so that a cut "
                                "one could not be told; try again later".format(url))
            if (total or 0) >= WORTH_RESUMING:
                write_text(part + VERSION, "{} {}".format(total, found))
            return _append(answer, file, total, name)


def _append(answer, file, total, name):
    """Copy an answer's body. total: bytes of the whole file, or None. Returns as _receive()."""
    require_space(os.path.dirname(file.name), (total or 0) - file.tell())
    with tqdm(desc=name, initial=file.tell(), total=total, unit="B", unit_scale=True,
              disable=not name) as progress:
        try:
            for block in answer.iter_content(BLOCK):
                file.write(block)
                progress.update(len(block))
        except requests.RequestException:
            return False, file.tell()  # cut: the next connection goes on from here
    file.flush()
    os.fsync(file.fileno())
    return total in (None, file.tell()), file.tell()


def _get(url, headers):
    """The server's answer, whose body is still to be read. Raises Absent, UserError."""
    try:
        answer = SESSION.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        if answer.status_code in ABSENT:
            raise Absent("{}: the server answers {}".format(url, answer.status_code))
        if answer.status_code != 416:  # the file is shorter than what we have of it
            answer.raise_for_status()
        return answer
    except requests.RequestException as error:
        raise UserError("{}: {}; {}".format(url, error, "downloads are made over https only" if (
            isinstance(error, ValueError)) else "gave up, the same command continues"))


def require_rest(folder, size):
    """Raise UserError when the disk lacks what is not yet in `folder` of `size` bytes."""
    require_space(folder, size - sum(os.path.getsize(os.path.join(where, name))
                                     for where, _, names in os.walk(folder) for name in names))
