"""The fingerprint of images: other contents are other images, wherever they lie."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from utils.common.errors import UserError
from utils.images import fingerprint
from utils.images.fingerprint import fingerprint_of_images


def save_bmp(path, seed, size=16):
    """Write an uncompressed image, whose number of bytes does not depend on its contents."""
    samples = np.random.RandomState(seed).randint(0, 256, (size, size, 3)).astype(np.uint8)
    Image.fromarray(samples).save(str(path))


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "photographs"
    (folder / "below").mkdir(parents=True)
    for seed, name in enumerate(("a.bmp", "below/b.bmp")):
        save_bmp(folder / name, seed)
    return folder


FILES = ["a.bmp", os.path.join("below", "b.bmp")]


def test_another_image_of_the_same_name_and_size_has_another_fingerprint(photographs):
    before = fingerprint_of_images(str(photographs), FILES)
    size = os.path.getsize(str(photographs / "a.bmp"))
    save_bmp(photographs / "a.bmp", 7)
    assert os.path.getsize(str(photographs / "a.bmp")) == size
    assert fingerprint_of_images(str(photographs), FILES) != before


def test_a_copy_has_the_fingerprint_of_the_original_whatever_its_time(photographs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(str(photographs), str(copy))
    os.utime(str(copy / "a.bmp"), (0, 0))
    assert fingerprint_of_images(str(copy), FILES) == fingerprint_of_images(
        str(photographs), FILES)


def test_names_their_number_and_their_order_count(photographs):
    shutil.copy(str(photographs / "a.bmp"), str(photographs / "c.bmp"))
    lists = (FILES, FILES[::-1], FILES[:1], ["c.bmp"], [])
    assert len({fingerprint_of_images(str(photographs), files) for files in lists}) == len(lists)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.8, 1.0])
def test_a_large_file_is_looked_at_from_its_first_to_its_last_byte(tmp_path, place, monkeypatch):
    monkeypatch.setattr(fingerprint, "WHOLE_FILE_BYTES", 1000)
    monkeypatch.setattr(fingerprint, "BLOCK_BYTES", 62)
    content = bytearray(5000)
    (tmp_path / "large.bmp").write_bytes(content)
    before = fingerprint_of_images(str(tmp_path), ["large.bmp"])
    middle = int(place * (5000 - 62)) // 329 * 329  # where a block begins
    content[min(middle + 61, 4999)] = 1
    (tmp_path / "large.bmp").write_bytes(content)
    assert fingerprint_of_images(str(tmp_path), ["large.bmp"]) != before


def test_a_missing_image_is_an_error_before_any_work(photographs):
    with pytest.raises(UserError, match="c.bmp: cannot be read .No such file.*remove it"):
        fingerprint_of_images(str(photographs), FILES + ["c.bmp"])


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(str(tmp_path / "a.bmp"))
    assert len(fingerprint_of_images(str(tmp_path), ["a.bmp"])) == 64
