"""Reading image files of every kind that a download brings, and the two scalings."""

import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import evaluate
import train_model
from utils import images, splits, uap_images
from utils.errors import UserError
from utils.images import BrokenImage, list_images, read_ahead, read_image, to_model_input, to_pixels

SIZE = 16


def pixels(height=SIZE, width=SIZE, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


def saved(path, image, **options):
    """Write `image`, an array or a Pillow image, to `path`; return the path."""
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(str(path), **options)
    return str(path)


def by_pillow(path, size=SIZE):
    """A full decode and resize, by Pillow alone."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((size, size), Image.BILINEAR))


def test_a_file_of_the_right_size_is_read_as_it_is(tmp_path):
    found = read_image(saved(tmp_path / "a.png", pixels()), SIZE)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels())


@pytest.mark.parametrize("height, width", [(600, 450), (450, 600), (7, 9), (SIZE, 2 * SIZE)])
def test_a_jpeg_is_decoded_in_full_and_resized_with_antialiasing(tmp_path, height, width):
    path = saved(tmp_path / "a.jpg", pixels(height, width))
    found = read_image(path, SIZE)
    assert found.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(found, by_pillow(path))


@pytest.mark.parametrize("mode, name", [
    ("CMYK", "a.jpg"), ("L", "a.jpg"), ("P", "a.png"), ("RGBA", "a.png"), ("LA", "a.png"),
    ("1", "a.png"), ("P", "a.gif"), ("RGB", "a.webp"), ("RGB", "a.tif"), ("RGB", "a.bmp")])
def test_every_kind_of_image_becomes_rgb_as_pillow_converts_it(tmp_path, mode, name):
    path = saved(tmp_path / name, Image.fromarray(pixels(40, 30)).convert(mode))
    with Image.open(path) as image:
        assert image.mode == mode
    found = read_image(path, SIZE)
    assert found.shape == (SIZE, SIZE, 3) and found.std() > 0
    np.testing.assert_array_equal(found, by_pillow(path))


def test_nearest_takes_the_pixel_at_each_centre(tmp_path):
    found = read_image(saved(tmp_path / "a.png", pixels(3 * SIZE, SIZE)), SIZE, "nearest")
    np.testing.assert_array_equal(found, pixels(3 * SIZE, SIZE)[1::3])


@pytest.mark.parametrize("resize", ["bilinear", "nearest"])
def test_each_step_resizes_as_the_model_was_trained(tmp_path, resize):
    path = saved(tmp_path / "a.png", pixels(60, 45))
    expected = read_image(path, SIZE, resize)
    model = {"image_size": SIZE, "resize": resize, "image_folder": ""}
    reader = uap_images.image_reader(None, str(tmp_path), ["a.png"], model, None)
    np.testing.assert_array_equal(next(reader([0])), to_model_input(expected))
    np.testing.assert_array_equal(evaluate.read_examples(str(tmp_path), model, ["a.png"])[0],
                                  expected)
    args = SimpleNamespace(data_dir=str(tmp_path), image_size=SIZE, resize=resize)
    read, _ = train_model.read_split(args, SimpleNamespace(image_folder="", class_names=["NV"]),
                                     splits.Split([("a.png", "NV")], []))
    np.testing.assert_array_equal(read["train"][0], expected)


def test_gray_is_the_same_in_three_channels(tmp_path):
    gray = pixels()[..., 0]
    found = read_image(saved(tmp_path / "a.png", gray), SIZE)
    np.testing.assert_array_equal(found, np.stack([gray] * 3, axis=-1))


def test_transparency_is_dropped(tmp_path):
    rgba = np.dstack([pixels(), np.full((SIZE, SIZE), 7, np.uint8)])
    np.testing.assert_array_equal(read_image(saved(tmp_path / "a.png", rgba), SIZE), pixels())


def test_16_bit_samples_keep_their_upper_8_bits(tmp_path):
    samples = np.random.RandomState(0).randint(0, 2 ** 16, (SIZE, SIZE)).astype(np.uint16)
    for name in ("a.png", "a.tif"):
        found = read_image(saved(tmp_path / name, samples), SIZE)
        np.testing.assert_array_equal(found, np.stack([samples // 256] * 3, axis=-1))


def test_the_content_counts_and_not_the_name(tmp_path):
    path = saved(tmp_path / "a.JPEG", pixels(), format="PNG")
    np.testing.assert_array_equal(read_image(path, SIZE), pixels())


def test_one_pixel_fills_the_image(tmp_path):
    found = read_image(saved(tmp_path / "a.png", np.array([[[10, 200, 30]]], np.uint8)), SIZE)
    np.testing.assert_array_equal(found, np.full((SIZE, SIZE, 3), [10, 200, 30]))


def test_the_exif_orientation_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    turned = saved(tmp_path / "turned.jpg", pixels(), exif=exif)
    with Image.open(turned) as image:
        assert image.getexif()[0x0112] == 6
    plain = saved(tmp_path / "plain.jpg", pixels())
    np.testing.assert_array_equal(read_image(turned, SIZE), read_image(plain, SIZE))


@pytest.mark.parametrize("name", [
    "two words.png", "Läsion 黑色素瘤.png", "[1]*?.png", "#&;'.png"])
def test_names_may_have_spaces_and_letters_of_any_script(tmp_path, name):
    path = saved(tmp_path / name, pixels())
    np.testing.assert_array_equal(read_image(path, SIZE), pixels())
    assert list_images(str(tmp_path)) == [name]


def broken_file(tmp_path, kind):
    path = tmp_path / (kind + ".jpg")
    if kind == "truncated":
        path.write_bytes(open(saved(path, pixels(100, 100)), "rb").read()[:2000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("<html>404 Not Found</html>")
    elif kind == "folder":
        path.mkdir()
    return str(path)


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "folder", "missing"])
def test_what_is_no_whole_image_is_broken_for_a_reason_that_is_told(tmp_path, kind):
    with pytest.raises(BrokenImage, match="."):
        read_image(broken_file(tmp_path, kind), SIZE)


def test_a_picture_made_to_exhaust_memory_is_broken(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png", pixels(100, 100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BrokenImage):
        read_image(path, SIZE)


def test_reading_ahead_keeps_the_order_and_gives_a_broken_image_in_its_place(tmp_path):
    paths = [saved(tmp_path / "{}.png".format(i), pixels(seed=i)) for i in range(40)]
    paths[7] = broken_file(tmp_path, "truncated")
    for workers, ahead in ((1, 1), (2, 5), (8, 100)):
        found = list(read_ahead(iter(paths), SIZE, workers, ahead))
        assert isinstance(found[7], BrokenImage)
        for i in set(range(40)) - {7}:
            np.testing.assert_array_equal(found[i], pixels(seed=i))
        assert len(found) == 40


def test_reading_ahead_of_nothing_is_nothing():
    assert list(read_ahead([], SIZE)) == []


class CountedPaths:
    """Paths that exist for the fake reader only; `taken` says how many were asked for."""

    def __init__(self, n):
        self.n, self.taken = n, 0

    def __iter__(self):
        for i in range(self.n):
            self.taken += 1
            yield i


@pytest.mark.parametrize("ahead", [1, 4])
def test_no_more_images_than_ahead_are_read_and_not_yet_given_away(monkeypatch, ahead):
    monkeypatch.setattr(images, "read_image", lambda path, size, resize: path)
    paths = CountedPaths(30)
    for given, image in enumerate(read_ahead(paths, SIZE, workers=3, ahead=ahead)):
        assert image == given
        assert paths.taken - given <= ahead


def test_images_are_read_while_the_one_before_is_used(monkeypatch):
    read = [threading.Event() for _ in range(4)]
    monkeypatch.setattr(images, "read_image", lambda path, size, resize: read[path].set())
    stream = read_ahead(range(4), SIZE, ahead=3)
    next(stream)
    assert read[2].wait(timeout=10)
    assert not read[3].is_set()
    stream.close()


def test_closing_the_stream_early_reads_no_further_and_leaves_no_thread(monkeypatch):
    monkeypatch.setattr(images, "read_image", lambda path, size, resize: path)
    threads, paths = threading.active_count(), CountedPaths(1000)
    stream = read_ahead(paths, SIZE, workers=3, ahead=8)
    assert [next(stream), next(stream)] == [0, 1]
    assert threading.active_count() > threads
    stream.close()
    assert threading.active_count() == threads
    assert paths.taken <= 10


def test_closing_the_stream_early_waits_only_for_the_image_being_read(monkeypatch):
    begun, released = [], threading.Event()

    def slow(path, size, resize):
        begun.append(path)
        assert path == 0 or released.wait(timeout=10)

    monkeypatch.setattr(images, "read_image", slow)
    stream = read_ahead(range(9), SIZE, workers=1, ahead=8)
    next(stream)
    threading.Timer(0.2, released.set).start()
    stream.close()
    assert set(begun) <= {0, 1}


def test_images_in_memory_keep_the_order_of_their_paths(tmp_path):
    paths = [saved(tmp_path / "{}.png".format(i), pixels(seed=i)) for i in (2, 0, 1)]
    found = images.read_images(paths, SIZE, "bilinear", "reading")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.stack([pixels(seed=i) for i in (2, 0, 1)]))


def test_a_broken_labelled_image_is_an_error_that_names_it(tmp_path):
    paths = [saved(tmp_path / "a.png", pixels()), broken_file(tmp_path, "empty")]
    with pytest.raises(UserError, match="1 of 2 .*empty.jpg"):
        images.read_images(paths, SIZE, "bilinear", "reading")


def test_all_images_below_a_folder_are_listed_sorted_and_nothing_else(tmp_path):
    names = ["b.jpg", "a/z.JPEG", "a/b/c.png", "A.PNG", "c.webp"]
    others = ["labels.csv", "a/readme.txt", ".hidden.jpg", "jpg"]
    for name in names + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    assert list_images(str(tmp_path)) == sorted(os.path.join(*n.split("/")) for n in names)


def test_a_folder_that_is_missing_or_without_images_is_an_error_that_names_it(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    for name in ("empty", "missing"):
        with pytest.raises(UserError, match=name):
            list_images(str(tmp_path / name))


def test_every_pixel_value_survives_the_way_to_model_input_and_back():
    values = np.arange(256, dtype=np.uint8)
    x = to_model_input(values)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, (np.arange(256) - 128) / 128)
    assert to_pixels(x).dtype == np.uint8
    np.testing.assert_array_equal(to_pixels(x), values)


def test_an_image_file_rounds_to_the_nearest_level_and_clips():
    levels = np.array([100.4, 100.6, -0.6, -300, 255.4, 255.6, 300], np.float32)
    np.testing.assert_array_equal(to_pixels((levels - 128) / 128),
                                  [100, 101, 0, 0, 255, 255, 255])
