"""Predictions under perturbations, against one image at a time and against Pillow's own files."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

from utils.evaluation import prediction
from utils.images.norms import norm, permuted, random_of_norm

NAMES = ("a", "b", "c", "d")
SHAPE = (16, 24, 3)


@pytest.fixture
def classifier():
    """Logits that depend on every pixel, images of all four classes, and a count of batches."""
    random = np.random.RandomState(0)
    A = random.normal(size=(4, np.prod(SHAPE))) / 20
    images = random.randint(0, 256, (201,) + SHAPE).astype(np.uint8)
    images[::2] //= 4
    batches = []

    def logits(x):
        assert x.dtype == np.float32
        batches.append(len(x))
        return x.reshape(len(x), -1).dot(A.T)
    return logits, images, batches


def one_by_one(logits, inputs):
    f = [logits(x[np.newaxis].astype(np.float32))[0] for x in inputs]
    return [NAMES[row.argmax()] for row in f], [softmax(row).max() for row in f]


def file_of(image, *words, **options):
    """The pixels of an image file that Pillow wrote."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, *words, **options)
    return np.asarray(Image.open(file))


def perturbation(p):
    v = np.random.RandomState(1).normal(0, 0.1, SHAPE).astype(np.float32)
    return (v * ({2: 12, np.inf: 0.9}[p] / norm(v, p))).astype(np.float32)


def test_classes_and_confidences_are_those_of_each_image_alone_in_order(classifier):
    logits, images, batches = classifier
    counts = []
    found, confidences = prediction.Predictor(logits, images, NAMES, 50, counts.append).predict()
    assert counts == batches == [50, 50, 50, 50, 1]
    classes, expected = one_by_one(logits, (images.astype(float) - 128) / 128)
    assert list(found) == classes and len(set(classes)) == 4
    np.testing.assert_allclose(confidences, expected, rtol=1e-5)


@pytest.mark.parametrize("p", [2, np.inf])
def test_each_column_is_predicted_from_what_it_names(classifier, p):
    logits, images, _ = classifier
    v = perturbation(p)
    predictor = prediction.Predictor(logits, images, NAMES, 64)
    found = {**prediction.attack_columns(predictor, "hash", v),
             **prediction.control_columns(predictor, v, p, seed=3)}
    attacked = images + 128.0 * v
    rounded = np.rint(np.clip(attacked, 0, 255)).astype(np.uint8)
    random = random_of_norm(v.shape, p, norm(v, p), 3)
    pixels = {
        "clean": images, "uap": attacked, "uap_8bit": rounded,
        "jpeg95": [file_of(image, "JPEG", quality=95) for image in rounded],
        "jpeg75": [file_of(image, "JPEG", quality=75) for image in rounded],
        "clean_jpeg75": [file_of(image, "JPEG", quality=75) for image in images],
        "random": images + 128.0 * random, "permuted": images + 128.0 * permuted(v, 3)}
    for name, values in pixels.items():
        classes, confidences = one_by_one(logits, (np.asarray(values, float) - 128) / 128)
        assert list(found[name]) == classes, name
        if name in ("clean", "uap"):
            np.testing.assert_allclose([float(c) for c in found[name + "_confidence"]],
                                       confidences, atol=6e-5)
    assert len({tuple(column) for column in found.values()}) == len(found)
    np.testing.assert_array_equal(file_of(rounded[0], "PNG"), rounded[0])  # uap_8bit is PNG's


def test_each_perturbation_and_the_clean_images_are_predicted_once(classifier):
    logits, images, batches = classifier
    counts = []
    predictor = prediction.Predictor(logits, images, NAMES, len(images), counts.append)
    v = perturbation(2)
    columns = prediction.attack_columns(predictor, "v", v)
    prediction.control_columns(predictor, v, 2, seed=0)
    every = prediction.ATTACK_PASSES + prediction.CONTROL_PASSES
    assert len(batches) == every
    assert list(predictor.predict_once("v", v).classes) == list(columns["uap"])
    assert len(batches) == every
    prediction.attack_columns(predictor, "other", 2 * v)
    prediction.control_columns(predictor, 2 * v, 2, seed=0)
    assert len(batches) == 2 * every - 2  # the clean ones are known
    assert counts == [len(images)] * (2 * every + 1)
    prediction.attack_columns(predictor, "of the same norm", -v)
    prediction.control_columns(predictor, -v, 2, seed=0)
    assert len(batches) == 3 * every - 5  # nor the random control, which is v's
