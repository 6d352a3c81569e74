"""What a network expects of its pixels, as a convolution in front of it."""

import numpy as np
import pytest
from keras_applications.imagenet_utils import preprocess_input

from utils.classifier.fit_of_preprocessing import is_suspicious, recalls, what_fits
from utils.classifier.frameworks import K
from utils.classifier.preprocessing import NAMED, as_convolution, parse_preprocessing
from utils.common.errors import UserError
from utils.images.pixels import to_model_input


def random_pixels():
    return np.random.RandomState(0).randint(0, 256, (2, 5, 4, 3)).astype(np.uint8)


def convolved(name, channels=3):
    """What a network gets of these pixels, by the convolution."""
    kernel, bias = as_convolution(parse_preprocessing(name), channels)
    return to_model_input(random_pixels()).dot(kernel[0, 0]) + bias


@pytest.mark.parametrize("name", ["tf", "caffe", "torch"])
def test_the_convolution_does_what_keras_does_under_this_name(name):
    expected = preprocess_input(random_pixels().astype(np.float32), mode=name, backend=K,
                                data_format="channels_last")
    np.testing.assert_allclose(convolved(name), expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name, expected", [
    ("study", (random_pixels() - 128.0) / 128), ("rescale", random_pixels() / 255.0),
    ("none", random_pixels().astype(float)), ("10,4", (random_pixels() - 10.0) / 4),
    ("1,2 3,4 5,-6", (random_pixels() - np.array([1.0, 3, 5])) / [2, 4, -6])])
def test_a_name_or_offset_and_scale_say_what_becomes_of_the_pixels(name, expected):
    np.testing.assert_allclose(convolved(name), expected, atol=2e-4)


def test_a_network_of_one_channel_gets_what_pillow_makes_of_the_colours():
    red, green, blue = np.moveaxis(random_pixels().astype(float), -1, 0)
    expected = (0.299 * red + 0.587 * green + 0.114 * blue) / 255
    np.testing.assert_allclose(convolved("rescale", channels=1)[..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("text", ["keras", "", "1", "1,2,3", "1,2 3,4", "1,0", "nan,1", "inf,1",
                                  "a,b"])
def test_another_text_is_refused_with_what_is_expected(text):
    with pytest.raises(UserError, match="expected study, tf, caffe.*or offset,scale"):
        parse_preprocessing(text)


LABELS = np.repeat(np.arange(4), [60, 20, 10, 10])
NAMES = ["a", "b", "c", "d"]


def mostly_right(order=(0, 1, 2, 3)):
    """Predictions of which nine in ten are right, with the classes in another order."""
    predictions = LABELS.copy()
    predictions[::10] = (predictions[::10] + 1) % 4
    return np.argsort(order)[predictions]


@pytest.mark.parametrize("predictions, suspicious", [
    (mostly_right(), False), (np.zeros(100, int), True), (np.arange(100) % 4, True),
    (mostly_right((1, 0, 3, 2)), True)])
def test_a_classifier_that_hardly_beats_guessing_is_suspicious(predictions, suspicious):
    assert is_suspicious(LABELS, predictions, 4) == suspicious


def test_the_recall_of_a_class_without_images_is_not_known():
    assert recalls(np.array([0, 0, 2]), np.array([0, 1, 2]), 4) == [0.5, None, 1.0, None]


def test_the_preprocessing_that_fits_is_found():
    predictions = {name: np.zeros(100, int) for name in NAMED}
    predictions["caffe"] = mostly_right()
    fit = what_fits(predictions.__getitem__, ["tf", "caffe", "none"], "study", LABELS, NAMES)
    assert fit.preprocessing == "caffe" and fit.class_names is None and fit.accuracy == 0.9
    assert fit.others == {"study": 0.6, "tf": 0.6, "caffe": 0.9, "none": 0.6}


@pytest.mark.parametrize("given, preprocessing", [("tf", None), ("study", "tf")])
def test_the_order_of_the_classes_that_fits_is_found(given, preprocessing):
    predictions = {name: np.zeros(100, int) for name in NAMED}
    predictions["tf"] = mostly_right((3, 0, 1, 2))
    fit = what_fits(predictions.__getitem__, sorted({"study", "tf", "none"} - {given}), given,
                    LABELS, NAMES)
    assert fit.preprocessing == preprocessing
    assert fit.class_names == ["d", "a", "b", "c"] and fit.accuracy == 0.9


def test_nothing_is_proposed_where_nothing_fits():
    fit = what_fits(lambda name: np.zeros(100, int), ["tf"], "study", LABELS, NAMES)
    assert fit.preprocessing is None and fit.class_names is None
