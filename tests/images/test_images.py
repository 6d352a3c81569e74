"""Reading image files of every kind that a download brings, and the two scalings."""

import os
import struct
import threading
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import evaluate
import train_model
from utils.attack import source_images
from utils.common.background import in_background
from utils.common.errors import UserError
from utils.images import reading, splits
from utils.images.decoding import BrokenImage, read_image
from utils.images.folders import list_images
from utils.images.pixels import to_model_input, to_pixels
from utils.images.reading import read_ahead

SIZE = 16


def pixels(height=SIZE, width=SIZE, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def saved(path, image, **options):
    """Write `image`, an array or a Pillow image, to `path`; return the path."""
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(str(path), **options)
    return str(path)


@pytest.mark.parametrize("mode, name, height, width", [
    ("RGB", "a.jpg", 600, 450), ("RGB", "a.jpg", 450, 600), ("RGB", "a.jpg", 7, 9),
    ("RGB", "a.jpg", SIZE, 2 * SIZE), ("RGB", "a.png", SIZE, SIZE),
    ("RGB", "a.tif", 40, 30), ("RGB", "a.bmp", 40, 30), ("CMYK", "a.jpg", 40, 30),
    ("L", "a.jpg", 40, 30), ("P", "a.png", 40, 30), ("P", "a.gif", 40, 30),
    ("RGBA", "a.png", 40, 30), ("LA", "a.png", 40, 30), ("1", "a.png", 40, 30)])
def test_every_kind_of_image_is_decoded_in_full_and_resized_as_pillow_does(
        tmp_path, mode, name, height, width):
    path = saved(tmp_path / name, Image.fromarray(pixels(height, width)).convert(mode))
    with Image.open(path) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert("RGB").resize((SIZE, SIZE), Image.BILINEAR))
    found = read_image(path, SIZE)
    assert found.dtype == np.uint8 and found.shape == (SIZE, SIZE, 3) and found.std() > 0
    np.testing.assert_array_equal(found, expected)


def chunk(kind, content):
    """A part of a PNG file."""
    return (struct.pack(">I", len(content)) + kind + content
            + struct.pack(">I", zlib.crc32(kind + content)))


# A grey image of 20,000 x 20,000, without its pixels.
LARGE = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0))
         + chunk(b"IDAT", b""))


@pytest.mark.parametrize("make, reason", [
    (lambda path: path.write_bytes(b""), "cannot identify"),
    (lambda path: path.write_bytes(b"text"), "cannot identify"),
    (lambda path: path.write_bytes(LARGE), "400000000 pixels. exceeds"),
    (lambda path: path.mkdir(), "directory"),
    (lambda path: path.symlink_to(path), "symbolic links"),
    (lambda path: os.truncate(saved(path, pixels(600, 450)), 5000), "truncated")])
def test_what_is_no_whole_image_is_broken_for_a_reason(tmp_path, make, reason):
    make(tmp_path / "a.jpg")
    with pytest.raises(BrokenImage, match=reason):
        read_image(str(tmp_path / "a.jpg"), SIZE)


def test_nearest_takes_the_pixel_at_each_centre(tmp_path):
    found = read_image(saved(tmp_path / "a.png", pixels(3 * SIZE, SIZE)), SIZE, "nearest")
    np.testing.assert_array_equal(found, pixels(3 * SIZE, SIZE)[1::3])


@pytest.mark.parametrize("resize", ["bilinear", "nearest"])
def test_each_step_resizes_as_the_model_was_trained(tmp_path, resize):
    path = saved(tmp_path / "a.png", pixels(60, 45))
    expected = read_image(path, SIZE, resize)
    model = {"image_size": SIZE, "resize": resize, "image_folder": ""}
    reader = source_images.image_reader(source_images.DrawnImages(str(tmp_path), ["a.png"]), SIZE,
                                        resize, max_broken_share=0.01, broken={})
    np.testing.assert_array_equal(next(reader([0])), to_model_input(expected))
    np.testing.assert_array_equal(evaluate.read_examples(
        str(tmp_path), SimpleNamespace(**model), ["a.png"])[0], expected)
    settings = SimpleNamespace(data_dir=str(tmp_path), image_size=SIZE, resize=resize)
    read = train_model.read_split(
        settings, SimpleNamespace(image_folder="", class_names=["NV"]),
        splits.Split([("a.png", "NV")], [("a.png", "NV")]))
    np.testing.assert_array_equal(read.train.images[0], expected)


def test_transparency_is_dropped_and_16_bit_samples_keep_their_upper_8_bits(tmp_path):
    rgba = np.dstack([pixels(), np.full((SIZE, SIZE), 7, np.uint8)])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", rgba), SIZE), pixels())
    samples = np.random.RandomState(0).randint(0, 2 ** 16, (SIZE, SIZE)).astype(np.uint16)
    for name in ("b.png", "b.tif"):
        found = read_image(saved(tmp_path / name, samples), SIZE)
        np.testing.assert_array_equal(found, np.stack([samples // 256] * 3, axis=-1))


def test_the_exif_orientation_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned = saved(tmp_path / "turned.jpg", pixels(), exif=exif)
    plain = saved(tmp_path / "plain.jpg", pixels())
    np.testing.assert_array_equal(read_image(turned, SIZE), read_image(plain, SIZE))


def test_reading_keeps_the_order_and_a_broken_image_has_its_place_or_is_an_error(tmp_path):
    paths = [saved(tmp_path / f"{i}.png", pixels(seed=i)) for i in range(70)]
    expected = [pixels(seed=i) for i in range(70)]
    np.testing.assert_array_equal(reading.read_images(paths, SIZE, "bilinear", ""), expected)
    os.truncate(paths[7], 100)
    found = list(read_ahead(iter(paths), SIZE))
    assert isinstance(found.pop(7), BrokenImage)
    np.testing.assert_array_equal(found, expected[:7] + expected[8:])
    with pytest.raises(UserError, match="1 of 70 .*7.png"):
        reading.read_images(paths, SIZE, "bilinear", "")
    assert list(read_ahead([], SIZE)) == []


@pytest.mark.parametrize("most_pending", [1, 4])
def test_no_more_results_wait_than_may_be_pending(most_pending):
    taken = []
    items = (taken.append(i) or i for i in range(30))
    for given, result in enumerate(in_background(str, items, workers=3, most_pending=most_pending)):
        assert result == str(given)
        assert len(taken) - given <= most_pending


def test_items_are_worked_on_while_the_one_before_is_used():
    done = [threading.Event() for _ in range(4)]
    stream = in_background(lambda i: done[i].set(), range(4), workers=2, most_pending=3)
    next(stream)
    assert done[2].wait(timeout=10)
    assert not done[3].is_set()
    stream.close()


def test_closing_the_stream_early_waits_only_for_the_item_in_work_and_leaves_no_thread():
    begun, released, threads = [], threading.Event(), threading.active_count()

    def slow(item):
        begun.append(item)
        assert item == 0 or released.wait(timeout=10)

    stream = in_background(slow, range(9), workers=1, most_pending=8)
    next(stream)
    threading.Timer(0.2, released.set).start()
    stream.close()
    assert set(begun) <= {0, 1} and threading.active_count() <= threads + 1  # the timer


def test_all_images_below_a_folder_are_listed_sorted_and_nothing_else(tmp_path):
    names = ["b.jpg", "a/z.JPEG", "a/b/c.png", "A.PNG", "c.jfif", "d.JPE", "Läsion 黑[1]*?#&;'.png"]
    others = ["labels.csv", "a/readme.txt", ".hidden.jpg", "jpg", "none/notes.txt",
              ".hidden/d.jpg", "e.webp"]
    for name in names + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    (tmp_path / "linked").symlink_to("a/b")
    names.append("linked/c.png")
    assert list_images(str(tmp_path)) == sorted(os.path.join(*n.split("/")) for n in names)
    for name, reason in (("none", "no image"), ("missing", "no such folder")):
        with pytest.raises(UserError, match=f"{name}: {reason}"):
            list_images(str(tmp_path / name))


def test_every_pixel_value_survives_the_way_to_model_input_and_back():
    values = np.arange(256, dtype=np.uint8)
    x = to_model_input(values)
    assert x.dtype == np.float32 and to_pixels(x).dtype == np.uint8
    np.testing.assert_array_equal(x, (np.arange(256) - 128) / 128)
    np.testing.assert_array_equal(to_pixels(x), values)


def test_an_image_file_rounds_to_the_nearest_level_and_clips():
    levels = np.array([100.4, 100.6, -0.6, -300, 255.4, 255.6, 300], np.float32)
    np.testing.assert_array_equal(to_pixels((levels - 128) / 128),
                                  [100, 101, 0, 0, 255, 255, 255])
