"""Downloads that end whole or with a message: https only, resumed where they were cut, checked."""

import contextlib
import os
import re
import time
from typing import BinaryIO, Dict, Optional

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util.retry import Retry

from utils.common.errors import UserError
from utils.common.hashes import md5_of_file
from utils.common.whole_files import (
    not_following,
    partial_path,
    require_space,
    write_text,
    writing,
)

TIMEOUT = 30  # seconds without a byte
RECEIVE_BYTES = 1 << 16
CONNECTIONS = 16  # at a time
WORTH_RESUMING = 1 << 20  # bytes; a shorter file is begun again
VERSION_SUFFIX = ".version"  # ends the name of the file that holds the version of an unfinished one
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


def download(url: str, path: str, size: Optional[int] = None, md5: Optional[str] = None) -> None:
    """Bring a file from `url` to `path`, whole and checked, or not at all; `path` there is kept.

    A cut connection is resumed where it was cut, by this process or by a later one. size: bytes,
    which a bar then counts, md5: hexadecimal, that the file must have.
    Raises Absent when the server has no such file; UserError.
    """
    if os.path.exists(path):
        return
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    part = partial_path(path)
    furthest = tries_in_vain = 0
    is_whole = False
    while not is_whole:
        if tries_in_vain == TRIES:
            raise UserError(f"{url}: cut {TRIES} times in a row, after {furthest:,} bytes at most; "
                            "the same command continues")
        if tries_in_vain:
            time.sleep(RETRY.backoff_factor * 2 ** tries_in_vain)
        with writing(path), open(part, "ab", opener=not_following) as file:
            is_whole = _receive(url, file, size)
            length = file.tell()
            file.flush()
            os.fsync(file.fileno())
        tries_in_vain = 0 if length > furthest else tries_in_vain + 1
        furthest = max(furthest, length)
    found = md5_of_file(part) if md5 else None
    if found == md5:
        os.replace(part, path)
    _remove_parts(part)
    if found != md5:
        raise UserError(f"{url}: MD5 is {found}, expected {md5}; what came is removed, try again "
                        "later")


def _remove_parts(part: str) -> None:
    """Remove an unfinished file and the version of it."""
    for path in (part, part + VERSION_SUFFIX):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)


def _receive(url: str, file: BinaryIO, size: Optional[int]) -> bool:
    """Add what one connection brings to the end of `file`. Returns whether that is whole.

    Its version, an ETag, is kept beside it: bytes of two versions are never joined. Nothing is
    written beyond the size that was published or that the server gave.
    Raises Absent, UserError.
    """
    version_path, version, start = file.name + VERSION_SUFFIX, None, file.tell()
    with contextlib.suppress(FileNotFoundError), open(version_path) as version_file:
        version = version_file.read()
    asked = {"Range": f"bytes={start}-", "If-Range": version} if start and version else {}
    with _get(url, asked) as answer:
        _refuse_encoded(url, answer)
        found = answer.headers.get("ETag", "")
        total = None
        if answer.status_code == 206 and found == version:
            total = _total_of_rest(answer, start)  # this answer may be a part of the rest
        if total is None:
            start = file.seek(0)
            file.truncate()
            if answer.status_code != 200:
                return False  # it became another file
            if found.startswith('"') and (answer.raw.length_remaining or 0) >= WORTH_RESUMING:
                write_text(version_path, found)
            elif version is not None:
                os.remove(version_path)
            total = answer.raw.length_remaining
            if total is None:
                total = size
        if total is None:
            raise UserError(f"{url}: the server does not say how long the file is, so that a cut "
                            "one could not be told; try again later")
        if size not in (None, total):
            raise UserError(f"{url}: {total:,} bytes, expected {size:,}; this is not the file that "
                            "was published")
        require_space(os.path.dirname(file.name), total - start)
        _write_body(url, answer, file, total=total, is_counted=size is not None)
        return file.tell() == total


def _total_of_rest(answer: requests.Response, start: int) -> Optional[int]:
    """Return the length of the whole file by an answer that continues it at byte `start`.

    None where the answer does not say that it continues it there.
    """
    place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if place is None or int(place.group(1)) != start:
        return None
    return int(place.group(2))


def _refuse_encoded(url: str, answer: requests.Response) -> None:
    """Raise UserError when the bytes that come are not those of the file, but packed ones."""
    encoding = answer.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise UserError(f"{url}: the server sends the file packed by {encoding}, which it was "
                        "asked not to do, so that its length cannot be checked; try again later")


def _write_body(url: str, answer: requests.Response, file: BinaryIO, total: int,
                is_counted: bool) -> None:
    """Write the body of an answer to the end of `file`, until `total` bytes or a cut.

    is_counted: whether a bar counts them. Raises UserError when more bytes come.
    """
    with tqdm(desc=os.path.basename(url), initial=file.tell(), total=total, unit="B",
              unit_scale=True, disable=not is_counted) as progress:
        try:
            for block in answer.iter_content(RECEIVE_BYTES):
                if file.tell() + len(block) > total:
                    file.seek(0)
                    file.truncate()
                    raise UserError(f"{url}: more than the {total:,} bytes that were expected; "
                                    "this is not the file that was published")
                file.write(block)
                progress.update(len(block))
        except requests.RequestException:
            pass  # cut: the next connection goes on from here


def _get(url: str, headers: Dict[str, str]) -> requests.Response:
    """The server's answer, whose body is still to be read. Raises Absent, UserError."""
    try:
        answer = SESSION.get(url, headers=headers, stream=True, timeout=TIMEOUT)
        if answer.status_code in ABSENT:
            raise Absent(f"{url}: the server answers {answer.status_code}")
        if answer.status_code != 416:  # the file is shorter than what we have of it
            answer.raise_for_status()
        return answer
    except requests.RequestException as error:
        if isinstance(error, ValueError):  # an address without a transport
            advice = "downloads are made over https only"
        else:
            advice = "gave up, the same command continues"
        raise UserError(f"{url}: {error}; {advice}")


def require_rest(folder: str, size: float) -> None:
    """Raise UserError when the disk lacks what is not yet in `folder` of `size` bytes."""
    present = sum(os.path.getsize(os.path.join(where, name))
                  for where, _, names in os.walk(folder) for name in names)
    require_space(folder, size - present)
