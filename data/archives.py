"""Files out of archives that nobody vouches for: what tarfile, gzip and zipfile check, counts."""

import collections
import contextlib
import gzip
import os
import shutil
import tarfile
import zipfile
import zlib

from utils.errors import UserError
from utils.files import replacing
from utils.images import list_images

BLOCK = 1 << 20  # bytes at a time

# A file in a tar, or in a folder. offset: of its bytes in the unpacked tar.
Member = collections.namedtuple("Member", "name size offset")


class BadArchive(UserError):
    """An archive is cut, damaged, or none."""


@contextlib.contextmanager
def checked(path):
    """Turn what a library finds wrong with the archive `path` into a BadArchive."""
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError,
            RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; gzip's own have no number
        raise BadArchive("{}: cut, damaged or no such archive ({}); get it again from its "
                         "publisher".format(path, error))


class _Header(tarfile.TarInfo):
    """A header of a tar; one that is damaged or cut, tarfile would take for the end, silently."""

    @classmethod
    def fromtarfile(cls, archive):
        try:
            info = super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("byte {:,}: {}".format(archive.offset, error))
        if info.size < 0:
            raise tarfile.ReadError("a member of {} bytes".format(info.size))
        return info


def _open(path):
    with open(path, "rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if is_gzip else open(path, "rb")


def _walk(file, begin=0):
    """Yield the Members of a tar, and of the tars in it, from their headers alone."""
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_Header) as archive:
        for info in iter(archive.next, None):
            archive.members.clear()  # it would keep them all
            if info.isreg() and info.name.endswith(".tar"):
                yield from _walk(archive.extractfile(info), begin + info.offset_data)
            elif info.isreg():
                yield Member(os.path.basename(info.name), info.size, begin + info.offset_data)
    for block in iter(lambda: file.read(BLOCK), b""):  # gzip has its checksum at the very end
        if block.strip(b"\0"):
            raise tarfile.ReadError("something follows its end")


def members(path):
    """Yield the Member of each plain file in a tar, gzip or not, or of each image in a folder.

    A fault raises UserError only when all that comes before it was given.
    """
    if os.path.isdir(path):
        for name in list_images(path):
            yield Member(name, os.path.getsize(os.path.join(path, name)), 0)
    elif os.path.exists(path):
        with checked(path), _open(path) as file:
            yield from _walk(file)
    else:
        raise UserError("{}: not found; expected a tar archive or a folder of images".format(path))


def extract(path, targets):
    """Write files of the tar `path`, or link those of the folder `path`.

    targets: iterable of (path to write, which stays if it is there, Member), by offset.
    """
    if os.path.isdir(path):
        for target, member in targets:
            link(os.path.join(path, member.name), target)
        return
    with _open(path) as file:
        for target, member in targets:
            if not os.path.exists(target):
                file.seek(member.offset)
                with replacing(target) as temporary, open(temporary, "wb") as copy:
                    for left in range(member.size, 0, -BLOCK):
                        copy.write(file.read(min(left, BLOCK)))


def link(source, target):
    """Make `target`, unless it is there, a second name of `source`, or on another disk a copy."""
    if os.path.exists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
