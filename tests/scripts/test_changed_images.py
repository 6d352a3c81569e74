"""What was made from images is not taken for what other images of the same names would give."""

import os

import numpy as np
from PIL import Image

import checkout


def save_bmps(folder, count, seed):
    """Write uncompressed images: those of another seed have the same names and sizes."""
    os.makedirs(str(folder), exist_ok=True)
    random = np.random.RandomState(seed)
    for number in range(count):
        samples = random.randint(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(samples).save(os.path.join(str(folder), f"{number}.bmp"))


def assert_told_from(change, folder, words, expected):
    """The command finishes, does nothing when given again, and refuses after the change."""
    code, _, errors = checkout.script(folder, *words)
    assert code == 0, errors
    code, output, errors = checkout.script(folder, *words)
    assert code == 0 and "finished; --restart" in output, errors
    change()
    code, _, errors = checkout.script(folder, *words)
    assert code == 2 and "with other arguments: " + expected in errors, errors
    assert errors.count("\n") == 1 and "--restart" in errors


def test_a_uap_from_a_folder_is_not_that_of_other_images_of_equal_names_and_sizes(
        trained, tmp_path):
    photographs = tmp_path / "photographs"
    save_bmps(photographs, 4, seed=0)
    words = ["make_uap.py", "--model-file", "models/VGG16.h5", "--source-dir", photographs,
             "--results-dir", tmp_path / "results"]
    assert_told_from(lambda: save_bmps(photographs, 4, seed=1), trained, words,
                     "images_sha256")


def test_a_model_is_not_that_of_other_training_images_of_equal_names_and_sizes(trained, tmp_path):
    for seed, label in enumerate(("nevus", "melanoma")):
        save_bmps(tmp_path / "data" / "ph2" / label, 8, seed)
    words = ["train_model.py", "--model", "VGG16", "--dataset", "ph2", "--weights", "none",
             "--image-size", "32", "--epochs", "1", "--data-dir", tmp_path / "data",
             "--models-dir", tmp_path / "models"]
    assert_told_from(lambda: save_bmps(tmp_path / "data" / "ph2" / "nevus", 8, seed=5),
                     trained, words, "images")
