"""Sets of images: what is refused or said before they are used, and what stops their reading."""

import errno
import os
import resource

import numpy as np
import pytest
from PIL import Image

from utils.common import memory
from utils.common.errors import UserError
from utils.images import reading
from utils.images.decoding import BrokenImage
from utils.images.norms import is_grey
from utils.images.reading import look_over, read_ahead, read_images

SIZE = 8


def save_all(folder, *images):
    """Save arrays as 0.png, 1.png ...; return the paths."""
    paths = [str(folder / f"{number}.png") for number in range(len(images))]
    for path, image in zip(paths, images):
        Image.fromarray(image).save(path)
    return paths


def noise(seed, high=256, dtype=np.uint8):
    return np.random.RandomState(seed).randint(0, high, (SIZE, SIZE)).astype(dtype)


def constant(level, dtype=np.uint8):
    return np.full((SIZE, SIZE), level, dtype)


@pytest.mark.parametrize("images", [
    [constant(0), constant(0)], [constant(0), constant(255), constant(7)],
    [constant(300, np.uint16)], [noise(0, 256, np.uint16), noise(1, 256, np.uint16)],
    [np.full((SIZE, SIZE, 3), (9, 8, 7), np.uint8)]],
    ids=["black", "of several levels", "16 bits", "8 bits in 16", "coloured"])
def test_a_set_whose_images_are_all_constant_is_refused(tmp_path, images):
    paths = save_all(tmp_path, *images)
    for use in (look_over, lambda paths: read_images(paths, SIZE, "bilinear", "")):
        with pytest.raises(UserError, match=f"all {len(paths)} images are constant.*0.png"):
            use(paths)


def test_one_picture_among_constant_images_is_enough(tmp_path):
    paths = save_all(tmp_path, constant(0), constant(9), noise(0))
    assert len(read_images(paths, SIZE, "bilinear", "")) == 3


def test_a_set_of_16_bit_images_below_4096_is_used_and_warned_of(tmp_path, capsys):
    paths = save_all(tmp_path, noise(0, 4096, np.uint16), noise(1, 4096, np.uint16))
    assert read_images(paths, SIZE, "bilinear", "").max() == 15
    warning, = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert str(tmp_path) in warning and "below 4,096" in warning and "8-bit PNG" in warning


@pytest.mark.parametrize("images", [
    [noise(0, 4096, np.uint16), noise(1, 65536, np.uint16)], [noise(0, 16)],
    [noise(0, 4096, np.uint16), noise(1, 16)]], ids=["one bright", "8 bits", "mixed"])
def test_no_warning_for_other_sets(tmp_path, capsys, images):
    look_over(save_all(tmp_path, *images))
    assert capsys.readouterr().err == ""


def test_a_sound_set_costs_the_decoding_of_one_image(tmp_path, monkeypatch):
    decoded, decode = [], reading.decode_image
    monkeypatch.setattr(reading, "decode_image", lambda path: decoded.append(path) or decode(path))
    paths = save_all(tmp_path, *map(noise, range(9)))
    look_over(paths)
    assert decoded == paths[:1]


def test_an_error_of_the_system_stops_the_stream_at_its_place(tmp_path, monkeypatch):
    paths = save_all(tmp_path, *map(noise, range(9)))
    plain = reading.read_image

    def flaky(path, size, resize):
        if path == paths[4]:
            raise UserError(f"{path}: cannot be read ({os.strerror(errno.EIO)})")
        return plain(path, size, resize)

    os.truncate(paths[2], 20)
    monkeypatch.setattr(reading, "read_image", flaky)
    seen = []
    with pytest.raises(UserError, match="4.png: cannot be read"):
        for image in read_ahead(paths, SIZE):
            seen.append(isinstance(image, BrokenImage))
    assert seen == [False, False, True, False]


def test_images_that_do_not_fit_into_memory_are_refused_before_one_is_read(tmp_path, monkeypatch):
    paths = save_all(tmp_path, noise(0))
    monkeypatch.setattr(memory, "available_memory", lambda: 9 * 10 ** 9)
    monkeypatch.setattr(reading, "decode_image", None)
    message = ("40000 images of 299 x 299 pixels need 10.7 GB of memory, 9.0 GB are present; .*"
               "--limit")
    with pytest.raises(UserError, match=message):
        read_images(paths * 40000, 299, "bilinear", "")


def test_the_memory_present_is_the_least_that_machine_container_and_process_leave(
        monkeypatch, tmp_path):
    files = {"/proc/meminfo": "MemTotal: 99 kB\nMemAvailable:    7000000 kB\n"}
    monkeypatch.setattr(memory, "_lines", lambda path: files.get(path, "").splitlines())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert memory.available_memory() == 7000000 * 1024
    files["/proc/self/cgroup"] = "0::/job/step\n"
    files["/sys/fs/cgroup/job/step/memory.max"] = "max\n"
    files["/sys/fs/cgroup/job/step/memory.current"] = "5\n"
    assert memory.available_memory() == 7000000 * 1024
    files["/sys/fs/cgroup/job/memory.max"] = "3000000000\n"
    files["/sys/fs/cgroup/job/memory.current"] = "1000000000\n"
    files["/sys/fs/cgroup/job/memory.stat"] = "anon 5\ninactive_file 400000000\n"
    assert memory.available_memory() == 2400000000
    files["/proc/self/cgroup"] = "9:cpu:/\n4:memory:/docker/x\n"
    files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "2000000000\n"
    files["/sys/fs/cgroup/memory/memory.usage_in_bytes"] = "500000000\n"
    assert memory.available_memory() == 1500000000
    files["/proc/self/statm"] = "1000 5 5\n"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10 ** 9, resource.RLIM_INFINITY))
    assert memory.available_memory() == 10 ** 9 - 1000 * resource.getpagesize()
    files.clear()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert memory.available_memory() is None  # nothing says: nothing is refused


def test_greyness_of_many_images_is_looked_at_one_by_one():
    grey = np.repeat(noise(0)[..., np.newaxis], 3, axis=2)
    assert is_grey(np.stack([grey, grey])) and is_grey(grey)
    coloured = grey.copy()
    coloured[3, 4, 1] += 1
    assert not is_grey(np.stack([grey, coloured])) and not is_grey(coloured)
