"""Archives that nobody vouches for: refused or harmless, and nothing is written outside."""

import gzip
import io
import os
import random
import stat
import struct
import tarfile
import zipfile

import pytest

import checkout
from data import skin_lesions
from data.archives import BadArchive, Target, extract, members
from data.natural_images import place_of

NAME, ZIPPED = "n01440764_7.JPEG", "ISIC_0024306.jpg"
PICTURE = random.Random(0).getrandbits(8 * 1280).to_bytes(1280, "big")  # no multiple of 512 bytes


def tar_of(path, entries, mode="w", format=tarfile.GNU_FORMAT):
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
    found = [(place_of("ilsvrc2012", os.path.basename(member.name)), member)
             for member in members(path)]
    extract(path, [Target(os.path.join(folder, place), member) for place, member in found if place])


def unpack_zip(path, folder):
    skin_lesions.extract(path, [ZIPPED], folder)


def assert_refused_or_harmless(unpack, path, tmp_path, refused, expected=None):
    """refused: a pattern of the message, or None where `expected`, a dict, is all that appears."""
    expected = expected or {}
    folder = tmp_path / "one" / "two"
    folder.mkdir(parents=True, exist_ok=True)
    before = checkout.tree(tmp_path)
    if refused is None:
        unpack(path, str(folder))
    else:
        with pytest.raises(BadArchive, match=os.path.basename(path) + ": .*" + refused):
            unpack(path, str(folder))
    assert checkout.tree(tmp_path) == dict(before, **{
        "one/two/" + name: content for name, content in expected.items() if refused is None})


def assert_refused(content, tmp_path, name="in.tar"):
    (tmp_path / name).write_bytes(content)
    assert_refused_or_harmless(unpack_tar, str(tmp_path / name), tmp_path, "")


def linked(kind, target="/etc/passwd"):
    return [(NAME, {"type": kind, "linkname": target})]


HARMLESS = None
TARS = {
    "a symbolic link": (linked(tarfile.SYMTYPE), HARMLESS),
    "a folder that is a link": (
        [("d", {"type": tarfile.SYMTYPE, "linkname": "/tmp"}), ("d/evil.JPEG", PICTURE)], HARMLESS),
    "a name without a place": ([("..", PICTURE), ("", PICTURE), ("evil.sh", PICTURE)], HARMLESS),
    "a line break": ([(NAME + "\n", PICTURE)], HARMLESS),
    "too long a name": ([(f"n01440764_{'a' * 250}.JPEG", PICTURE)], HARMLESS),
    "an inner tar that leads out": ([("x.tar", "../../evil.sh")], HARMLESS),
    "an inner tar that is none": ([("n01440764.tar", PICTURE)], "invalid header|bad checksum"),
    "an inner tar of nothing": ([("n01440764.tar", b"")], "empty"),
}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("kind", TARS)
def test_a_malicious_tar_is_refused_or_gives_its_good_image_alone(tmp_path, kind, mode):
    entries, refused = TARS[kind]
    inner = open(tar_of(tmp_path / "x", [("../../evil.sh", PICTURE)]), "rb").read()
    entries = [(name, inner if isinstance(content, str) else content) for name, content in entries]
    path = tar_of(tmp_path / "in.tar", entries + [("n01440764_8.JPEG", PICTURE)], mode)
    assert_refused_or_harmless(unpack_tar, path, tmp_path, refused,
                               {"train/n01440764/n01440764_8.JPEG": PICTURE})


@pytest.mark.parametrize("folder", ["/tmp/", "../", "a/../../", "./"])
def test_where_a_member_says_it_belongs_does_not_count(tmp_path, folder):
    path = tar_of(tmp_path / "in.tar", [(folder + NAME, PICTURE)])
    assert_refused_or_harmless(unpack_tar, path, tmp_path, HARMLESS,
                               {"train/n01440764/" + NAME: PICTURE})


def header(name, size, kind=b"0"):
    """A tar header with any size field of 12 bytes."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136], block[148:156] = size, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def extra(records):
    return header("pax", b"%011o\0" % len(records), b"x") + records.ljust(512, b"\0")


EMPTY, END = header(NAME, b"00000000000\0"), bytes(1024)
LIES = {
    "a negative size": header(NAME, b"\xff" * 12) + END,
    "an enormous size": header(NAME, b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7) + END,
    "a long name that is cut": header("long", b"00010000000\0", b"L") + END,
    "a record of length 0": EMPTY + extra(b"0 path=/etc/hi\n") + EMPTY + END,
    "a size that leads back in an extra header": EMPTY + extra(b"14 size=-2048\n") + EMPTY + END,
    "a web page": b"<html>log in</html>".ljust(2048),
    "nothing": b"",
    "no checksum": EMPTY + EMPTY.replace(b"7.J", b"8.J") + END,
    "a hole of zeros": EMPTY + bytes(512) + EMPTY + END,
}


@pytest.mark.parametrize("inner", [False, True], ids=["tar", "tar in a tar"])
@pytest.mark.parametrize("lie", LIES)
def test_a_tar_header_that_lies_is_refused_before_anything_is_written(tmp_path, lie, inner):
    content = LIES[lie]
    if inner:
        tar_of(tmp_path / "in.tar", [("n01440764.tar", content), (NAME, PICTURE)])
        content = (tmp_path / "in.tar").read_bytes()
    assert_refused(content, tmp_path)


def test_a_tar_that_was_cut_anywhere_is_refused_before_anything_is_written(tmp_path):
    """After every 512 bytes, and in between: also where only the end mark is missing."""
    whole = open(tar_of(tmp_path / "x", [(NAME, PICTURE), ("b", PICTURE)]), "rb").read()
    end = 2 * (512 + 3 * 512)
    for length in list(range(0, end + 1, 512)) + [100, 700, end - 1, end + 511]:
        assert_refused(whole[:length], tmp_path)


def test_a_packed_tar_that_was_cut_or_damaged_is_refused_before_anything_is_written(tmp_path):
    whole = gzip.compress(open(tar_of(tmp_path / "x", [(NAME, PICTURE)]), "rb").read(), 0)
    damaged = whole[:1000] + bytes([whole[1000] ^ 255]) + whole[1001:]
    for content in [damaged] + [whole[:int(len(whole) * s)] for s in (0.002, 0.1, 0.5, 0.999)]:
        assert_refused(content, tmp_path, "in.tar.gz")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_sound_tar_of_every_format_is_unpacked(tmp_path, mode, format):
    inner = open(tar_of(tmp_path / "x", [("n00000003_1.JPEG", PICTURE)], format=format),
                 "rb").read()
    entries = [("test", {"type": tarfile.DIRTYPE}), ("test/" + NAME, PICTURE),
               ("n00000001_1.JPEG", b""), ("ä/漢.jpg", PICTURE), ("n00000003.tar", inner),
               ("d/" * 30 + f"n00000002_{'x' * 80}.JPEG", PICTURE * 7)]
    path = tar_of(tmp_path / "in.tar", entries, mode, format)
    assert_refused_or_harmless(unpack_tar, path, tmp_path, HARMLESS, {
        "train/n01440764/" + NAME: PICTURE, "train/n00000001/n00000001_1.JPEG": b"",
        f"train/n00000002/n00000002_{'x' * 80}.JPEG": PICTURE * 7,
        "train/n00000003/n00000003_1.JPEG": PICTURE})


def zip_of(entries, **attributes):
    """The bytes of a zip; attributes are set on the first member's entry."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number, (name, content) in enumerate(entries):
            info = zipfile.ZipInfo(name)
            info.filename = name  # as it is, without the cleaning of the constructor
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items() if number == 0 else ():
                setattr(info, key, value)
            archive.writestr(info, content)
    return file.getvalue()


def with_size(size):
    """An index that gives the only member another unpacked size."""
    content = zip_of([(ZIPPED, PICTURE)])
    index = content.index(b"PK\x01\x02")
    return content[:index + 24] + struct.pack("<L", size) + content[index + 28:]


SOUND = zip_of([(ZIPPED, PICTURE)])
ZIPS = {
    "a link": (zip_of([(ZIPPED, PICTURE)], external_attr=(stat.S_IFLNK | 0o777) << 16), HARMLESS),
    "names that lead out": (zip_of([("../evil", b""), ("/tmp/evil", b""), ("..\\evil", b""),
                                    ("../../" + ZIPPED, PICTURE)]), HARMLESS),
    "a bomb beside it": (zip_of([("a.jpg", bytes(10 ** 7)), (ZIPPED, PICTURE)]), HARMLESS),
    "a line break": (zip_of([(ZIPPED + "\n", PICTURE)]), "lacks 1 of 1"),
    "a password": (SOUND.replace(b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\x01"),
                   "encrypted"),
    "an unknown method": (SOUND.replace(b"\x08\x00", b"\x63\x00"),
                          "type 99|method is not supported"),  # as the version of Python says it
    "more bytes than its index says": (with_size(1000), "CRC"),
    "fewer bytes than its index says": (with_size(2000), HARMLESS),
    "another name at the member": (SOUND.replace(b"ISIC", b"isic", 1), "differ"),
    "other bytes": (SOUND[:47] + bytes([SOUND[47] ^ 255]) + SOUND[48:], "decompressing"),
    "half of it": (SOUND[:len(SOUND) // 2], "not a zip"),
    "nothing": (b"", "not a zip"),
}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_malicious_or_broken_zip_is_refused_or_gives_its_good_image_alone(tmp_path, kind):
    content, refused = ZIPS[kind]
    (tmp_path / "in.zip").write_bytes(content)
    assert_refused_or_harmless(unpack_zip, str(tmp_path / "in.zip"), tmp_path, refused,
                               {ZIPPED: PICTURE})
