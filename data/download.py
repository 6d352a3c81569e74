"""Downloads that end whole or with a message: https only, resumed where they were cut, checked."""

import contextlib
import os
import time

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util.retry import Retry

from utils.common.errors import UserError
from utils.common.hashes import md5_of_file
from utils.common.whole_files import partial_path, require_space, write_text, writing

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


def download(url, path, size=None, md5=None):
    """Bring a file from `url` to `path`, whole and checked, or not at all; `path` there is kept.

    A cut connection is resumed where it was cut, by this process or by a later one. size: bytes,
    which a bar then counts, md5: hexadecimal, that the file must have.
    Raises Absent when the server has no such file; UserError.
    """
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part, furthest, vain, whole = partial_path(path), 0, 0, False
    while not whole:
        if vain == TRIES:
            raise UserError("{}: cut {} times in a row, after {:,} bytes at most; the same command "
                            "continues".format(url, vain, furthest))
        time.sleep(RETRY.backoff_factor * 2 ** vain if vain else 0)
        with writing(path), open(part, "ab") as file:
            whole = _receive(url, file, size)
            length = file.tell()
            file.flush()
            os.fsync(file.fileno())
        furthest, vain = max(furthest, length), 0 if length > furthest else vain + 1
    found = md5_of_file(part) if md5 else None
    if found == md5:
        os.replace(part, path)
    for left in (part, part + VERSION):
        with contextlib.suppress(FileNotFoundError):
            os.remove(left)
    if found != md5:
        raise UserError("{}: MD5 is {}, expected {}; what came is removed, try again later".format(
            url, found, md5))


def _receive(url, file, size):
    """Add what one connection brings to the end of `file`. Returns whether that is whole.

    Its version, an ETag, is kept beside it: bytes of two versions are never joined.
    Raises Absent, UserError.
    """
    version_path, version, start = file.name + VERSION, None, file.tell()
    with contextlib.suppress(FileNotFoundError), open(version_path) as version_file:
        version = version_file.read()
    asked = {"Range": "bytes={}-".format(start), "If-Range": version} if start and version else {}
    with _get(url, asked) as answer:
        found, place = (answer.headers.get(name, "") for name in ("ETag", "Content-Range"))
        if answer.status_code != 206 or found != version or not place.startswith(
                "bytes {}-".format(start)):
            start = file.seek(0)
            file.truncate()
            if answer.status_code != 200:
                return False  # it became another file
            if found.startswith('"') and (answer.raw.length_remaining or 0) >= WORTH_RESUMING:
                write_text(version_path, found)
            elif version is not None:
                os.remove(version_path)
        rest = answer.raw.length_remaining
        if rest is None and size is None:
            raise UserError("{}: the server does not say how long the file is, so that a cut one "
                            "could not be told; try again later".format(url))
        total = size if rest is None else start + rest
        if size not in (None, total):
            raise UserError("{}: {:,} bytes, expected {:,}; this is not the file that was "
                            "published".format(url, total, size))
        require_space(os.path.dirname(file.name), total - start)
        with tqdm(desc=os.path.basename(url), initial=start, total=total, unit="B",
                  unit_scale=True, disable=size is None) as progress:
            try:
                for block in answer.iter_content(BLOCK):
                    file.write(block)
                    progress.update(len(block))
            except requests.RequestException:
                pass  # cut: the next connection goes on from here
        return file.tell() == total


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
