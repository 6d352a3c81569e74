"""The generated data sets: official layouts, the same files for the same seed."""

import os

from data.generate import NATURAL_CLASSES, PRETRAINING, generate
from utils import datasets
from utils.files import sha256_of_file
from utils.images import list_images, read_image


def test_the_readers_accept_the_generated_layouts(tmp_path):
    folder = str(tmp_path)
    generate(folder, 21, 8, size=40)
    labels = datasets.isic2018_labels(folder)
    assert list(labels.values()) == 3 * list(datasets.ISIC2018_CLASSES)
    lesions = datasets.isic2018_lesions(folder)
    assert set(lesions) == set(labels) and len(set(lesions.values())) == 14
    for source in ("ilsvrc2012", "open_images_v5"):
        root = os.path.join(folder, datasets.SOURCES[source])
        assert len(list_images(root)) == 8
        assert read_image(os.path.join(root, list_images(root)[0]), 40).shape == (40, 40, 3)
    assert sorted(datasets.labelled_images(folder, PRETRAINING).labels.values()) == sorted(
        NATURAL_CLASSES)


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(str(tmp_path / name), 7, 3, size=32, seed=seed)
        found.append({os.path.relpath(os.path.join(where, file), str(tmp_path / name)):
                      sha256_of_file(os.path.join(where, file))
                      for where, _, files in os.walk(str(tmp_path / name)) for file in files})
    assert found[0] == found[1] != found[2] and set(found[0]) == set(found[2])
