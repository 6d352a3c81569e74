"""Which files are decoded, what becomes of more than 8 bits, and who is to blame for a failure."""

import builtins
import errno
import io
import os
import socket
import struct

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from utils.common.errors import UserError
from utils.images import decoding
from utils.images.decoding import BrokenImage, decode_image, read_image

SIZE = 16
WEDGE = np.tile(np.linspace(0, 1, SIZE), (SIZE, 1))  # from black to white
GREY = np.floor(WEDGE * 255).astype(np.uint8)


def tiff(path, samples, **tags):
    """Save samples as a TIFF file. tags: values of more tags, by their number after an underscore.
    """
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[int(tag[1:])] = value
    Image.fromarray(samples).save(str(path), tiffinfo=info)
    return str(path)


def png(path, samples):
    Image.fromarray(samples).save(str(path))
    return str(path)


@pytest.mark.parametrize("kind, extension", [
    ("WebP", "webp"), ("EPS", "eps"), ("PPM", "ppm"), ("ICO", "ico"), ("JPEG2000", "jp2"),
    ("TGA", "tga"), ("PDF", "pdf")])
def test_no_decoder_but_those_of_the_formats_named_is_ever_opened(
        tmp_path, kind, extension, monkeypatch):
    for name in list(Image.OPEN):
        def opened(*_, name=name):
            raise AssertionError(f"the decoder of {name} was opened")

        if name not in decoding.FORMATS:
            monkeypatch.setitem(Image.OPEN, name, (opened, opened))
    content = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), "red").save(content, extension if extension in (
        "webp", "eps", "ppm", "ico", "tga", "pdf") else "jpeg2000")
    (tmp_path / "a.jpg").write_bytes(content.getvalue())
    with pytest.raises(BrokenImage, match="cannot identify an image; expected JPEG, PNG"):
        read_image(str(tmp_path / "a.jpg"), SIZE)


@pytest.mark.parametrize("name", ["a.jpg", "a.jfif", "a.jpe", "a", "a.png"])
def test_the_contents_and_not_the_name_say_which_of_them_it_is(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(GREY).save(str(tmp_path / "b.bmp"))
    os.rename(str(tmp_path / "b.bmp"), str(path))
    np.testing.assert_array_equal(read_image(str(path), SIZE)[..., 0], GREY)


def test_a_tiff_file_compressed_by_webp_is_not_handed_to_its_library(tmp_path):
    path = tiff(tmp_path / "a.tif", GREY)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    offset = content.index(struct.pack("<HHI", decoding.COMPRESSION, 3, 1))
    content[offset + 8:offset + 10] = struct.pack("<H", decoding.COMPRESSED_BY_WEBP)
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(BrokenImage, match="WebP, which is not decoded"):
        read_image(path, SIZE)


def as_16_bits(top):
    return np.round(WEDGE * top).astype(np.uint16)


SIXTEEN = as_16_bits(65535)


@pytest.mark.parametrize("save, expected", [
    (lambda p: png(p / "a.png", SIXTEEN), SIXTEEN >> 8),
    (lambda p: tiff(p / "a.tif", SIXTEEN), SIXTEEN >> 8),
    (lambda p: tiff(p / "a.tif", SIXTEEN, _262=0), (65535 - SIXTEEN) >> 8),
    (lambda p: tiff(p / "a.tif", as_16_bits(4095)), as_16_bits(4095) >> 8),
], ids=["PNG", "TIFF", "white is zero", "12 bits in 16"])
def test_unsigned_samples_of_16_bits_keep_their_upper_8_and_white_is_white(
        tmp_path, save, expected):
    path = save(tmp_path)
    np.testing.assert_array_equal(read_image(path, SIZE)[..., 1], expected)
    assert decode_image(path).bits == 16


def test_samples_of_12_bits_keep_their_upper_8(tmp_path):
    samples = as_16_bits(4095)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255])
                      for a, b in samples.reshape(-1, 2).tolist())
    path = tiff(tmp_path / "a.tif", GREY)
    content = bytearray((tmp_path / "a.tif").read_bytes())

    def set_tag(tag, value):
        for kind, form in ((3, "<H"), (4, "<I")):
            at = content.find(struct.pack("<HHI", tag, kind, 1))
            if at >= 0:
                content[at + 8:at + 12] = struct.pack(form, value).ljust(4, b"\0")

    set_tag(258, 12)
    set_tag(273, len(content))  # where the samples begin
    set_tag(279, len(packed))
    (tmp_path / "a.tif").write_bytes(content + packed)
    np.testing.assert_array_equal(read_image(path, SIZE)[..., 0], samples >> 4)


@pytest.mark.parametrize("samples, tags, reason", [
    (WEDGE.astype(np.float32), {}, "floating-point samples of 32 bits"),
    ((WEDGE * 4095).astype(np.float32), {}, "floating-point samples of 32 bits"),
    ((WEDGE * 200000).astype(np.int32), {}, "samples of 32 bits"),
    ((WEDGE * 255).astype(np.int32), {}, "samples of 32 bits"),
    ((WEDGE * 3000 - 1000).astype(np.int16).view(np.uint16), {"_339": 2}, "signed samples of 16"),
    (GREY, {"_339": 2}, "(signed samples of 8 bits|cannot identify)"),  # as Pillow knows them
], ids=["0 to 1", "0 to 4095", "32 bits", "8 in 32 bits", "Hounsfield units", "8 bits"])
def test_float_signed_and_32_bit_samples_are_broken_and_the_message_says_how_to_save_them(
        tmp_path, samples, tags, reason):
    path = tiff(tmp_path / "a.tif", samples, **tags)
    with pytest.raises(BrokenImage, match=reason + ".*save such images as 8-bit PNG"):
        read_image(path, SIZE)


def failing_open(number):
    def fail(path, *args, **options):
        raise OSError(number, os.strerror(number), path)
    return fail


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOMEM, errno.ESTALE,
                                    errno.ENOENT, errno.EACCES, errno.ETIMEDOUT])
def test_an_error_of_the_system_is_not_a_broken_image(tmp_path, number, monkeypatch):
    path = png(tmp_path / "a.png", GREY)
    monkeypatch.setattr(builtins, "open", failing_open(number))
    with pytest.raises(UserError, match="a.png: cannot be read .*same command") as raised:
        read_image(path, SIZE)
    assert os.strerror(number) in str(raised.value)


def test_an_error_of_the_system_during_the_reading_is_none_either(tmp_path, monkeypatch):
    path = png(tmp_path / "a.png", GREY)

    class Flaky:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def read(self, *_):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    plain = builtins.open
    monkeypatch.setattr(builtins, "open", lambda *args, **options: Flaky(plain(*args, **options)))
    with pytest.raises(UserError, match="a.png: cannot be read .Input/output error"):
        read_image(path, SIZE)


def test_no_memory_left_is_not_a_broken_image(tmp_path, monkeypatch):
    def convert(*_):
        raise MemoryError

    path = png(tmp_path / "a.png", GREY)
    monkeypatch.setattr(Image.Image, "convert", convert)
    with pytest.raises(UserError, match="a.png: not enough memory"):
        read_image(path, SIZE)


def test_a_missing_image_stops_and_is_not_counted_as_broken(tmp_path):
    os.symlink("nowhere", str(tmp_path / "link.png"))
    for name in ("link.png", "missing.png"):
        with pytest.raises(UserError, match=name + ": cannot be read .No such file"):
            read_image(str(tmp_path / name), SIZE)


@pytest.fixture
def a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("a.jpg")
        yield "a.jpg"


def test_a_pipe_a_socket_and_a_device_are_broken_and_not_waited_for(tmp_path, a_socket):
    os.mkfifo(str(tmp_path / "pipe.jpg"))
    os.symlink("/dev/zero", str(tmp_path / "zero.jpg"))
    for path in (a_socket, "pipe.jpg", "zero.jpg"):
        with pytest.raises(BrokenImage, match="no regular file, but a pipe, socket or device"):
            read_image(path, SIZE)


def test_a_file_of_terabytes_is_broken_before_it_is_read(tmp_path):
    with open(str(tmp_path / "a.jpg"), "wb") as file:
        file.truncate(1 << 40)  # a hole, which takes no room on the disk
    with pytest.raises(BrokenImage, match="1099.5 GB"):
        read_image(str(tmp_path / "a.jpg"), SIZE)
