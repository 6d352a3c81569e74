"""Reading zip and tar archives that nobody vouches for.

An archive is indexed first: every member's name, kind and size is checked before anything is
written, and only plain files are ever handed out. Tar headers are read by seeking from one to the
next, in bounded memory, so that a tar of tars of 138 GB is indexed without reading its images.
"""

import collections
import gzip
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib

from utils.errors import UserError

BLOCK = 512  # bytes; tar counts in these
COPIED = 1 << 20  # bytes at a time
LONGEST_NAME = 1 << 16  # bytes of the extra header that holds a long name
LARGEST_RATIO = 200  # bytes unpacked for one byte packed; that of images is about 1

# A file in an archive. offset: of its bytes, in the (unpacked) tar; for a zip, of its header.
Member = collections.namedtuple("Member", "name size offset")


def bad_archive(path, fault):
    """The error for an archive that cannot be used."""
    return UserError("{}: {}; get the archive again from its publisher".format(path, fault))


def check_name(path, name):
    """Raise UserError when a member's name could lead out of the folder it is unpacked to."""
    if (not name or name.startswith("/") or re.match(r"[A-Za-z]:", name) or "\\" in name
            or any(ord(letter) < 32 for letter in name)
            or ".." in name.split("/") or any(len(p.encode("utf-8", "surrogateescape")) > 255
                                              for p in name.split("/"))):
        raise bad_archive(path, "a member has the unsafe name {!r}".format(name[:200]))


class Zip:
    """A zip archive whose index was found to be sound.

    members: its plain files, in the order of the index. Raises UserError.
    """

    def __init__(self, path):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, struct.error, EOFError, ValueError, OverflowError,
                NotImplementedError) as error:
            raise bad_archive(path, "not a whole zip archive ({})".format(error))
        try:
            self._infos = self._checked()
        except UserError:
            self._zip.close()
            raise
        self.members = [Member(info.filename, info.file_size, info.header_offset)
                        for info in self._infos.values()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._zip.close()

    def _checked(self):
        infos, end = collections.OrderedDict(), 0
        for info in sorted(self._zip.infolist(), key=lambda info: info.header_offset):
            check_name(self.path, info.orig_filename)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise bad_archive(self.path, "{} is a link or a device".format(info.filename))
            if info.flag_bits & 1:
                raise bad_archive(self.path, "{} is encrypted".format(info.filename))
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise bad_archive(self.path, "{} is packed by method {}".format(
                    info.filename, info.compress_type))
            if info.header_offset < end:
                raise bad_archive(self.path, "{} overlaps another member".format(info.filename))
            end = info.header_offset + info.compress_size
            if info.filename in infos:
                raise bad_archive(self.path, "{} appears twice".format(info.filename))
            if not info.is_dir() and kind != stat.S_IFDIR:
                infos[info.filename] = info
        if end > self._zip.start_dir:
            raise bad_archive(self.path, "its members reach beyond its index")
        _check_ratio(self.path, sum(info.file_size for info in infos.values()))
        return infos

    def extract(self, member, target):
        """Write one member to the file `target`, unless it is there already; its CRC is compared.

        Raises UserError.
        """
        info = self._infos[member.name]
        if _has(target, info.file_size, info.CRC):
            return
        try:
            with self._zip.open(info) as source:
                _write(self.path, source.read, info.file_size, target)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError,
                RuntimeError) as error:
            raise bad_archive(self.path, "{} is damaged ({})".format(member.name, error))


def _check_ratio(path, unpacked):
    packed = os.path.getsize(path)
    if unpacked > LARGEST_RATIO * max(packed, 1):
        raise bad_archive(path, "{:,} bytes that unpack to {:,}".format(packed, unpacked))


def _has(target, size, crc):
    """Whether the file `target` is there with these bytes."""
    if not os.path.exists(target) or os.path.getsize(target) != size:
        return False
    found = 0
    with open(target, "rb") as file:
        for block in iter(lambda: file.read(COPIED), b""):
            found = zlib.crc32(block, found)
    return found == crc


def _write(path, read, size, target):
    """Copy `size` bytes to the file `target`, which is there whole or not at all."""
    folder, name = os.path.split(target)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, ".{}.part".format(name))
    left = size
    try:
        with open(temporary, "wb") as file:
            while left:
                block = read(min(left, COPIED))
                if not block:
                    raise bad_archive(path, "it ends inside {}".format(name))
                file.write(block)
                left -= len(block)
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def open_images(path):
    """A source of images: the Folder or the Tar at `path`. Raises UserError."""
    if not os.path.exists(path):
        raise UserError("{}: not found; expected a tar archive or a folder of images".format(path))
    return Folder(path) if os.path.isdir(path) else Tar(path)


class Folder:
    """A folder of images, read as a Tar is."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def members(self):
        """Yield (name of the folder that it is in, Member) for each image. Raises UserError."""
        from utils.images import list_images

        for name in list_images(self.path):
            size = os.path.getsize(os.path.join(self.path, name))
            yield os.path.basename(os.path.dirname(name)), Member(name, size, 0)

    def extract(self, member, target):
        """Make the file `target` one with the image, or on another disk a copy of it."""
        link_or_copy(os.path.join(self.path, member.name), target)


def link_or_copy(source, target):
    """Make the file `target` a second name of the file `source`, or a copy on another disk."""
    if os.path.exists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    source = os.path.realpath(source)
    try:
        os.link(source, target)
    except OSError:
        temporary = os.path.join(os.path.dirname(target),
                                 ".{}.part".format(os.path.basename(target)))
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)


class Tar:
    """A tar archive, or one that gzip packed, that is read from the front to the back."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        self._file = _ForwardOnly(path) if packed else open(path, "rb", buffering=0)
        # The end of what may be read: unknown for a packed one, whose own end is then the limit.
        self._end = None if packed else os.path.getsize(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def members(self):
        """Yield (class, Member) for each plain file, in their order; a member *.tar is looked into.

        The class is the name of the inner archive, without its ending, or of the folder.
        Raises UserError.
        """
        for member in self._walk(0, self._end, self.path):
            if member.name.endswith(".tar"):
                inner = os.path.basename(member.name)
                for image in self._walk(member.offset, member.offset + member.size,
                                        "{} in {}".format(member.name, self.path)):
                    yield inner[:-len(".tar")], image
            else:
                yield os.path.basename(os.path.dirname(member.name)), member
        if self._end is None:
            self._read(None)  # to its very end, where gzip keeps the checksum
            _check_ratio(self.path, self._file.tell())

    def _walk(self, offset, end, where):
        """Yield the plain files of the tar that fills the bytes from `offset` to `end`."""
        long_name = None
        while True:
            header = self._read(BLOCK, offset)
            if len(header) < BLOCK or (end is not None and offset + BLOCK > end):
                raise bad_archive(where, "cut after {:,} bytes".format(offset))
            if header == bytes(BLOCK):
                return
            try:
                info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
            except tarfile.HeaderError as error:
                raise bad_archive(where, "no tar header at byte {:,} ({})".format(offset, error))
            begin = offset + BLOCK
            if info.size < 0:
                raise bad_archive(where, "a member of {} bytes".format(info.size))
            offset = begin + -(-info.size // BLOCK) * BLOCK
            if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE):
                if info.size > LONGEST_NAME:
                    raise bad_archive(where, "an extra header of {:,} bytes".format(info.size))
                extra = self._read(info.size, begin)
                if info.type == tarfile.GNUTYPE_LONGNAME:
                    long_name = extra.split(b"\0")[0].decode("utf-8", "surrogateescape")
                elif info.type == tarfile.XHDTYPE:
                    long_name = _pax_path(extra, where) or long_name
                continue
            name, long_name = long_name or info.name, None
            check_name(where, name)
            if info.isdir():
                continue
            if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                raise bad_archive(where, "{} is no plain file (a link, a device, or of another "
                                  "kind)".format(name))
            if end is not None and begin + info.size > end:
                raise bad_archive(where, "cut inside {}".format(name))
            yield Member(name, info.size, begin)

    def extract(self, member, target):
        """Write one member to the file `target`, unless it is there; raises UserError.

        Of a packed archive, members are to be extracted in the order of their offsets.
        """
        if os.path.exists(target) and os.path.getsize(target) == member.size:
            return
        self._read(0, member.offset)
        _write(self.path, self._read, member.size, target)

    def _read(self, size, offset=None):
        try:
            if offset is not None:
                self._file.seek(offset)
            if size is not None:
                return self._file.read(size)
            for _ in iter(lambda: self._file.read(COPIED), b""):
                pass
        except (EOFError, zlib.error) as error:
            raise bad_archive(self.path, "damaged or cut ({})".format(error))
        except OSError as error:
            if error.errno is None:  # gzip's own: wrong checksum, no gzip file
                raise bad_archive(self.path, "damaged ({})".format(error))
            raise


class _ForwardOnly:
    """A gzip file that is never read twice: seeking reads on."""

    def __init__(self, path):
        self._packed = open(path, "rb")
        self._file = gzip.GzipFile(fileobj=self._packed)

    def close(self):
        self._file.close()
        self._packed.close()

    def tell(self):
        return self._file.tell()

    def read(self, size):
        return self._file.read(size)

    def seek(self, offset):
        if offset < self._file.tell():
            raise ValueError("a packed archive is read from the front to the back")
        while self._file.tell() < offset:
            if not self._file.read(min(offset - self._file.tell(), COPIED)):
                return  # the next read() finds the end


def _pax_path(extra, where):
    """The path in a pax header ("length key=value" records), or None. Raises UserError."""
    path = None
    while extra:
        found = re.match(rb"(\d{1,9}) ", extra)
        length = int(found.group(1)) if found else 0
        if not found or not found.end() < length <= len(extra):
            raise bad_archive(where, "an extra header that cannot be read")
        key, _, value = extra[found.end():length - 1].partition(b"=")
        if key == b"size" or key.startswith(b"GNU.sparse"):
            raise bad_archive(where, "a member of a kind that images do not need")
        if key == b"path":
            path = value.decode("utf-8", "surrogateescape")
        extra = extra[length:]
    return path
