"""The generated data sets: official layouts, the same files for the same seed."""

import os

from data.generate import NATURAL_CLASSES, PRETRAINING, generate
from utils import datasets
from utils.files import sha256_of_file
from utils.images import list_images, read_image


def contents(folder):
    return {os.path.relpath(os.path.join(where, name), folder):
            sha256_of_file(os.path.join(where, name))
            for where, _, names in os.walk(folder) for name in names}


def test_the_readers_accept_the_generated_layouts(tmp_path):
    folder = str(tmp_path)
    generate(folder, 21, 8, size=40)
    labels = datasets.isic2018_labels(folder)
    assert len(labels) == 21
    assert list(labels.values()) == 3 * list(datasets.ISIC2018_CLASSES)
    lesions = datasets.isic2018_lesions(folder)
    assert set(lesions) == set(labels) and len(set(lesions.values())) == 14
    for source in ("ilsvrc2012", "open_images_v5"):
        root = os.path.join(folder, datasets.SOURCES[source])
        assert len(list_images(root)) == 8
        assert read_image(os.path.join(root, list_images(root)[0]), 40).shape == (40, 40, 3)
    pretraining = datasets.labelled_images(folder, PRETRAINING)
    assert len(pretraining.labels) == 8
    assert sorted(pretraining.class_names) == sorted(NATURAL_CLASSES)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(str(tmp_path / name), 7, 3, size=32, seed=seed)
    a, b, c = (contents(str(tmp_path / name)) for name in "abc")
    assert a == b and set(a) == set(c) and a != c
