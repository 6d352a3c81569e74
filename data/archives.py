"""Files out of archives that nobody vouches for: what tarfile, gzip and zipfile check, counts."""

import contextlib
import os
import shutil
import tarfile
import zipfile
import zlib
from typing import Iterable, Iterator, NamedTuple

from utils.common.errors import UserError
from utils.common.whole_files import replacing
from utils.images.folders import list_images

BYTES_AT_A_TIME = 1 << 20


class Member(NamedTuple):
    """A file in a tar, or in a folder. size: in bytes. offset: of its bytes in the unpacked tar."""

    name: str
    size: int
    offset: int


class Target(NamedTuple):
    """Where a file of an archive goes. path: to write, which stays if it is there."""

    path: str
    member: Member


class BadArchive(UserError):
    """An archive is cut, damaged, or none."""


@contextlib.contextmanager
def checked(path: str) -> Iterator[None]:
    """Turn what a library finds wrong with the archive `path` into a BadArchive."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError,
            RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; gzip's own have no number
        raise BadArchive(f"{path}: cut, damaged or no such archive ({error}); get it again from "
                         "its publisher")


def _walk(archive: tarfile.TarFile, begin: int = 0) -> Iterator[Member]:
    """Yield the Members of an open tar, and of the tars in it, from their headers alone."""
    for info in iter(archive.next, None):
        archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
        if info.size < 0:
            raise tarfile.ReadError(f"a member of {info.size} bytes")
        if info.isreg() and info.name.endswith(".tar"):
            with tarfile.open(fileobj=archive.extractfile(info), mode="r:") as inner:
                yield from _walk(inner, begin + info.offset_data)
        elif info.isreg():
            yield Member(os.path.basename(info.name), info.size, begin + info.offset_data)
    # tarfile takes a damaged header for the end, which is at least one block of zeros.
    file = archive.fileobj
    file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE) or any(
            block.strip(b"\0") for block in iter(lambda: file.read(BYTES_AT_A_TIME), b"")):
        raise tarfile.ReadError(f"byte {archive.offset:,}: neither a file nor the end")


def members(path: str) -> Iterator[Member]:
    """Yield the Member of each plain file in a tar, packed or not, or of each image in a folder.

    A fault raises UserError only when all that comes before it was given.
    """
    if os.path.isdir(path):
        for name in list_images(path):
            yield Member(name, os.path.getsize(os.path.join(path, name)), 0)
    elif os.path.exists(path):
        with checked(path), tarfile.open(path) as archive:
            yield from _walk(archive)
    else:
        raise UserError(f"{path}: not found; expected a tar archive or a folder of images")


def extract(path: str, targets: Iterable[Target]) -> None:
    """Write files of the tar `path`, or link those of the folder `path`.

    targets: in the order of their offsets.
    """
    if os.path.isdir(path):
        for target in targets:
            link(os.path.join(path, target.member.name), target.path)
        return
    with tarfile.open(path) as archive:
        for target in targets:
            if not os.path.exists(target.path):
                archive.fileobj.seek(target.member.offset)
                with replacing(target.path) as temporary, open(temporary, "wb") as copy:
                    for left in range(target.member.size, 0, -BYTES_AT_A_TIME):
                        copy.write(archive.fileobj.read(min(left, BYTES_AT_A_TIME)))


def link(source: str, target: str) -> None:
    """Make `target`, unless it is there, a second name of `source`, or on another disk a copy."""
    if os.path.exists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
