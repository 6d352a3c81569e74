"""The images that a UAP is made from: which faults are an image's, and which are the system's."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from utils.attack.source_images import DrawnImages, TooManyBroken, image_reader
from utils.common.errors import UserError
from utils.images import decoding

SIZE = 8


@pytest.fixture
def images(tmp_path):
    """Nine images, of which the third is broken."""
    files = [f"{number}.bmp" for number in range(9)]
    for seed, file in enumerate(files):
        samples = np.random.RandomState(seed).randint(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
        Image.fromarray(samples).save(str(tmp_path / file))
    os.truncate(str(tmp_path / files[2]), 60)
    return DrawnImages(str(tmp_path), files)


def reader(images, broken, max_broken_share=0.2):
    return image_reader(images, image_size=SIZE, resize="bilinear",
                        max_broken_share=max_broken_share, broken=broken)


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENOMEM, errno.ESTALE])
def test_an_error_of_the_system_stops_the_run_and_counts_no_image_as_broken(
        images, number, monkeypatch):
    read_content = decoding._read_content

    def flaky(path):
        if path.endswith("5.bmp"):
            raise OSError(number, os.strerror(number))
        return read_content(path)

    monkeypatch.setattr(decoding, "_read_content", flaky)
    broken, seen = {}, []
    with pytest.raises(UserError, match="5.bmp: cannot be read .*same command") as error:
        for image in reader(images, broken)(range(9)):
            seen.append(image is None)
    assert seen == [False, False, True, False, False]
    assert list(broken) == ["2.bmp"]  # which the next start may read again
    assert not isinstance(error.value, TooManyBroken)


def test_what_the_contents_cause_is_noted_up_to_the_share_allowed(images):
    broken = {}
    assert [image is None for image in reader(images, broken)(range(9))].index(True) == 2
    assert list(broken) == ["2.bmp"] and "truncated" in broken["2.bmp"]
    with pytest.raises(TooManyBroken, match="1 of 9 images cannot be read, the last is 2.bmp"):
        list(reader(images, {}, max_broken_share=0.1)(range(9)))
