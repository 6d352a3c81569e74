"""Archives that nobody vouches for: every kind of attack is refused, nothing is written outside."""

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile

import pytest

from data.archives import Folder, Tar, Zip, open_images
from utils.errors import UserError

PICTURE = bytes(range(256)) * 5  # 1,280 bytes: not a multiple of tar's 512


def zip_of(path, entries, **attributes):
    """A zip of (name, bytes); attributes are set on the first member's entry."""
    with zipfile.ZipFile(str(path), "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, content) in enumerate(entries):
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is, without the cleaning of the constructor
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items() if number == 0 else ():
                setattr(info, key, value)
            archive.writestr(info, content)
    return str(path)


def edited(path, old, new, count=-1):
    """Replace bytes of a file."""
    with open(path, "rb") as file:
        content = file.read()
    assert old in content
    with open(path, "wb") as file:
        file.write(content.replace(old, new, count))
    return path


def unpack_zip(path, folder):
    with Zip(path) as archive:
        for member in archive.members:
            archive.extract(member, os.path.join(folder, member.name))


def tar_of(path, entries, mode="w", format=tarfile.USTAR_FORMAT):
    """A tar of (name, bytes or a dict of a TarInfo's attributes)."""
    with tarfile.open(str(path), mode, format=format) as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            if isinstance(content, dict):
                for key, value in content.items():
                    setattr(info, key, value)
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return str(path)


def unpack_tar(path, folder):
    with Tar(path) as archive:
        members = list(archive.members())
    with Tar(path) as archive:
        for _, member in members:
            archive.extract(member, os.path.join(folder, member.name))


def tree(folder):
    return sorted(os.path.relpath(os.path.join(where, name), folder)
                  for where, _, names in os.walk(folder) for name in names)


NAMES = {"absolute": "/tmp/evil.jpg", "above": "../evil.jpg", "above in the middle":
         "a/../../evil.jpg", "backslashes": "..\\evil.jpg", "a drive": "C:evil.jpg",
         "a line break": "a\nb.jpg", "too long a name": "a" * 256 + ".jpg"}


def overlapping(path):
    """Two entries of the index that share the packed bytes of one."""
    path = zip_of(path, [("a.jpg", PICTURE), ("b.jpg", PICTURE)])
    with open(path, "rb") as file:
        content = file.read()
    index = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", index + 4)
    offset = struct.pack("<L", content.index(b"PK\x03\x04") + 5)
    with open(path, "wb") as file:
        file.write(content[:second + 42] + offset + content[second + 46:])
    return path


def with_size(path, size):
    """An index that gives the only member another unpacked size."""
    path = zip_of(path, [("a.jpg", PICTURE)])
    with open(path, "rb") as file:
        content = file.read()
    index = content.index(b"PK\x01\x02")
    with open(path, "wb") as file:
        file.write(content[:index + 24] + struct.pack("<L", size) + content[index + 28:])
    return path


def edited_byte(path, place):
    with open(str(path), "rb+") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 255]))
    return str(path)


def written(path, content):
    with open(str(path), "wb") as file:
        file.write(content)
    return str(path)


def cut(path, share=0.5):
    with open(path, "rb+") as file:
        file.truncate(int(os.path.getsize(path) * share))
    return path


ZIPS = {
    "a symbolic link": (lambda p: zip_of(p, [("a.jpg", b"/etc/passwd")], external_attr=(
        stat.S_IFLNK | 0o777) << 16), "link or a device"),
    "a device": (lambda p: zip_of(p, [("a.jpg", b"")], external_attr=stat.S_IFCHR << 16),
                 "link or a device"),
    "a pipe": (lambda p: zip_of(p, [("a.jpg", b"")], external_attr=stat.S_IFIFO << 16),
               "link or a device"),
    "a name with a zero byte": (lambda p: edited(zip_of(p, [("a.jpg|.exe", PICTURE)]), b"|", b"\0"),
                                "unsafe name"),
    "a bomb": (lambda p: zip_of(p, [("a.jpg", bytes(10 ** 7))]), "unpack to 10,000,000"),
    "a bomb in many members": (lambda p: zip_of(p, [("%d.jpg" % i, bytes(10 ** 6))
                                                    for i in range(9)]), "unpack to 9,000,000"),
    "overlapping members": (overlapping, "overlaps|damaged"),
    "the same name twice": (lambda p: edited(zip_of(p, [("a.jpg", PICTURE), ("b.jpg", PICTURE)]),
                                             b"b.jpg", b"a.jpg"), "twice"),
    "a password": (lambda p: edited(zip_of(p, [("a.jpg", PICTURE)]), b"PK\x01\x02\x14\x03\x14\0\0",
                                    b"PK\x01\x02\x14\x03\x14\0\x01"), "encrypted; get"),
    "another method": (lambda p: edited(zip_of(p, [("a.jpg", PICTURE)]), b"\x08\x00", b"\x0c\x00"),
                       "method 12"),
    "more bytes than its index says": (lambda p: with_size(p, 1000), "damaged"),
    "fewer bytes than its index says": (lambda p: with_size(p, 2000), "damaged|ends inside"),
    "another name at the member": (lambda p: edited(zip_of(p, [("a.jpg", PICTURE)]), b"a.jpg",
                                                    b"x.jpg", 1), "damaged"),
    "other bytes": (lambda p: edited_byte(zip_of(p, [("a.jpg", PICTURE)]), 45), "damaged"),
    "half of it": (lambda p: cut(zip_of(p, [("a.jpg", os.urandom(5000))])), "not a whole zip"),
    "all but its last byte": (lambda p: cut(zip_of(p, [("a.jpg", PICTURE)]), 0.995), "not a whole"),
    "nothing": (lambda p: written(p, b""), "not a whole zip"),
    "a web page": (lambda p: written(p, b"<html>log in</html>"), "not a whole zip"),
}
ZIPS.update({"a name that is " + kind: (lambda p, name=name: zip_of(p, [(name, PICTURE)]),
                                        "unsafe name") for kind, name in NAMES.items()})


@pytest.mark.parametrize("kind", ZIPS)
def test_a_malicious_or_broken_zip_is_refused_and_leaves_nothing(tmp_path, kind):
    make, message = ZIPS[kind]
    path = make(tmp_path / "in.zip")
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match="in.zip: .*({})".format(message)):
        unpack_zip(path, str(folder))
    assert tree(str(tmp_path)) == ["in.zip"]


TARS = {
    "a symbolic link": ([("a.jpg", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"})],
                        "no plain file"),
    "a link that a file then follows": ([
        ("d", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}), ("d/evil.jpg", PICTURE)],
        "no plain file"),
    "a hard link": ([("a.jpg", {"type": tarfile.LNKTYPE, "linkname": "../b"})], "no plain file"),
    "a character device": ([("a.jpg", {"type": tarfile.CHRTYPE})], "no plain file"),
    "a block device": ([("a.jpg", {"type": tarfile.BLKTYPE})], "no plain file"),
    "a pipe": ([("a.jpg", {"type": tarfile.FIFOTYPE})], "no plain file"),
    "a sparse file": ([("a.jpg", {"type": tarfile.GNUTYPE_SPARSE})], "no plain file"),
    "an unknown kind": ([("a.jpg", {"type": b"Z"})], "no plain file"),
    "a folder above": ([("../up", {"type": tarfile.DIRTYPE})], "unsafe name"),
}
TARS.update({"a name that is " + kind: ([(name, PICTURE)], "unsafe name")
             for kind, name in NAMES.items()})


@pytest.mark.parametrize("packed", [False, True], ids=["tar", "tar.gz"])
@pytest.mark.parametrize("kind", TARS)
def test_a_malicious_tar_is_refused_before_anything_is_written(tmp_path, kind, packed):
    entries, message = TARS[kind]
    format = tarfile.GNU_FORMAT
    path = tar_of(tmp_path / "in.tar", [("good.jpg", PICTURE)] + entries,
                  "w:gz" if packed else "w", format)
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match="in.tar: .*" + message):
        unpack_tar(path, str(folder))
    assert tree(str(tmp_path)) == ["in.tar"]


def test_a_malicious_member_of_an_inner_tar_is_refused(tmp_path):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        info = tarfile.TarInfo("../evil.JPEG")
        info.size = len(PICTURE)
        archive.addfile(info, io.BytesIO(PICTURE))
    path = tar_of(tmp_path / "in.tar", [("n01440764.tar", inner.getvalue())])
    with pytest.raises(UserError, match="n01440764.tar in .*unsafe name"):
        unpack_tar(path, str(tmp_path / "out"))
    assert tree(str(tmp_path)) == ["in.tar"]


def raw_header(name, size, kind=b"0"):
    """A tar header with any size field of 12 bytes."""
    header = bytearray(512)
    header[:len(name)] = name
    header[100:108], header[108:116], header[116:124] = [b"0000644\0"] * 3
    header[124:136] = size
    header[136:148] = b"00000000000\0"
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[257:265] = b"ustar\x0000"
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("content, message", [
    (raw_header(b"a.jpg", b"\xff" * 12), "a member of -1 bytes"),
    (raw_header(b"a.jpg", b"77777777777\0"), "cut inside a.jpg"),
    (raw_header(b"a.jpg", b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7), "cut inside a.jpg"),
    (raw_header(b"long", b"00010000000\0", b"L") + bytes(2 ** 21), "extra header"),
    (raw_header(b"pax", b"00010000000\0", b"x") + bytes(2 ** 21), "extra header"),
    (raw_header(b"pax", b"00000000017\0", b"x") + b"0 path=/etc/hi\n".ljust(512, b"\0"),
     "cannot be read"),
    (raw_header(b"pax", b"00000000017\0", b"x") + b"99 path=/a.jpg\n".ljust(512, b"\0"),
     "cannot be read"),
    (raw_header(b"pax", b"00000000020\0", b"x") + b"16 path=/evil.j\n".ljust(512, b"\0")
     + raw_header(b"a.jpg", b"00000000000\0") + bytes(1024), "unsafe name '/evil.j'"),
    (raw_header(b"pax", b"00000000013\0", b"x") + b"11 size=99\n".ljust(512, b"\0"), "do not need"),
    (b"<html>log in</html>".ljust(2048), "no tar header at byte 0"),
    (b"", "cut after 0 bytes"),
], ids=["negative size", "8 GB of size", "an enormous size", "a long name of 2 MB",
        "an extra header of 2 MB", "a record of length 0", "a record beyond its end",
        "an absolute path in an extra header", "another size in an extra header", "a web page",
        "nothing"])
def test_a_tar_header_that_lies_is_refused(tmp_path, content, message):
    (tmp_path / "in.tar").write_bytes(content)
    with pytest.raises(UserError, match="in.tar: .*" + message):
        unpack_tar(str(tmp_path / "in.tar"), str(tmp_path / "out"))
    assert tree(str(tmp_path)) == ["in.tar"]


def test_a_tar_bomb_is_refused_before_anything_is_written(tmp_path):
    path = tar_of(tmp_path / "in.tar", [("a.jpg", bytes(10 ** 7))], "w:gz")
    with pytest.raises(UserError, match="unpack to"):
        unpack_tar(path, str(tmp_path / "out"))
    assert tree(str(tmp_path)) == ["in.tar"]


def test_a_tar_that_was_cut_anywhere_is_refused_before_anything_is_written(tmp_path):
    """After every 512 bytes, and in between: also where only the end mark is missing."""
    whole = open(tar_of(tmp_path / "whole.tar", [("a.jpg", PICTURE), ("b.jpg", PICTURE)]),
                 "rb").read()
    end = 2 * (512 + 3 * 512)
    path = tmp_path / "in.tar"
    for length in list(range(0, end + 1, 512)) + [100, 700, end - 1, end + 511]:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="in.tar: cut"):
            unpack_tar(str(path), str(tmp_path / "out"))
        assert tree(str(tmp_path)) == ["in.tar", "whole.tar"]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_packed_tar_that_was_cut_is_refused_before_anything_is_written(tmp_path, share):
    path = cut(tar_of(tmp_path / "in.tar.gz", [("a.jpg", os.urandom(5000))], "w:gz"), share)
    with pytest.raises(UserError, match="in.tar.gz: .*cut"):
        unpack_tar(path, str(tmp_path / "out"))
    assert tree(str(tmp_path)) == ["in.tar.gz"]


def test_a_packed_tar_with_other_bytes_is_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "in.tar.gz"
    tar = open(tar_of(tmp_path / "plain.tar", [("a.jpg", os.urandom(5000))]), "rb").read()
    with gzip.GzipFile(str(path), "wb", compresslevel=0) as file:
        file.write(tar)
    edited_byte(path, 3000)
    with pytest.raises(UserError, match="in.tar.gz: damaged"):
        unpack_tar(str(path), str(tmp_path / "out"))
    assert tree(str(tmp_path)) == ["in.tar.gz", "plain.tar"]


def test_a_sound_zip_is_unpacked_and_unpacking_again_mends_what_is_wrong(tmp_path):
    path = zip_of(tmp_path / "in.zip", [("x/", b""), ("x/a.jpg", PICTURE), ("x/b.jpg", b"b")])
    out = str(tmp_path / "out")
    for damage in (lambda: None, lambda: cut(os.path.join(out, "x/a.jpg")),
                   lambda: edited_byte(os.path.join(out, "x/a.jpg"), 7)):
        damage() if os.path.exists(out) else None
        unpack_zip(path, out)
        assert tree(out) == ["x/a.jpg", "x/b.jpg"]
        assert open(os.path.join(out, "x/a.jpg"), "rb").read() == PICTURE


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_sound_tar_of_every_format_is_unpacked(tmp_path, mode, format):
    """Against the standard library's own reader of the same archive."""
    entries = [("test", {"type": tarfile.DIRTYPE}), ("test/a.jpg", PICTURE), ("empty.jpg", b""),
               ("d/" * 30 + "{}.jpg".format("x" * 90), PICTURE * 7), ("ä/漢.jpg", b"x" * 512)]
    path = tar_of(tmp_path / "in.tar", entries, mode, format)
    unpack_tar(path, str(tmp_path / "out"))
    with tarfile.open(path) as archive:
        expected = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}
    assert {name: open(str(tmp_path / "out" / name), "rb").read()
            for name in tree(str(tmp_path / "out"))} == expected
    assert len(expected) == 4


def test_a_folder_is_read_like_an_archive(tmp_path):
    for name in ("a/x.jpg", "a/b/y.JPEG", "notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(PICTURE)
    with open_images(str(tmp_path / "in")) as source:
        assert isinstance(source, Folder)
        members = list(source.members())
        assert [(folder, m.name, m.size) for folder, m in members] == [
            ("b", "a/b/y.JPEG", 1280), ("a", "a/x.jpg", 1280)]
        source.extract(members[0][1], str(tmp_path / "out" / "y.JPEG"))
    assert (tmp_path / "out" / "y.JPEG").read_bytes() == PICTURE
    with pytest.raises(UserError, match="nowhere: not found"):
        open_images(str(tmp_path / "nowhere"))
