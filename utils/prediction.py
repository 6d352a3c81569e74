"""The classes that a model predicts for its test images, clean and under perturbations."""

import collections

import numpy as np

from utils.images import as_jpeg, in_background, to_model_input, to_pixels
from utils.attack.norms import is_grey, norm, permuted, random_of_norm

JPEG_QUALITIES = (95, 75)
CLEAN_PASSES, ATTACK_PASSES = 2, 6  # over the images, for the columns of predictions.csv

# The class names predicted for n images, and the softmax probability of each.
Predicted = collections.namedtuple("Predicted", "classes confidences")


class Predictor:
    """What one model predicts for its test images.

    logits: function, float32 batch (b, h, w, 3) of model inputs -> (b, K). images: uint8,
    (n, h, w, 3). class_names: K of them. progress: called with the number of images after each
    batch. known: dict from the SHA-256 of a perturbation's file to the classes predicted under it,
    for perturbations that need not be predicted again.
    """

    def __init__(self, logits, images, class_names, batch_size, progress=lambda count: None):
        self._logits, self._images, self._class_names = logits, images, class_names
        self._progress = progress
        self._slices = [slice(i, i + batch_size) for i in range(0, len(images), batch_size)]
        self.known = {}
        self._clean = {}

    def predict(self, change):
        """Predict all images after `change`, a function from a uint8 batch to model inputs.

        The next batch is changed in the background while the model computes.
        """
        classes, confidences = [], []
        for x in in_background(lambda s: change(self._images[s]), self._slices, 2, 3):
            f = np.asarray(self._logits(x), np.float64)
            shares = np.exp(f - f.max(axis=1, keepdims=True))
            confidences.append(1 / shares.sum(axis=1))
            classes += [self._class_names[k] for k in f.argmax(axis=1)]
            self._progress(len(f))
        return Predicted(classes, np.concatenate(confidences))

    def clean(self, quality=None):
        """Predict the images as they are, or saved as JPEG; once, however often it is asked."""
        if quality not in self._clean:
            self._clean[quality] = self.predict(
                to_model_input if quality is None else
                lambda pixels: to_model_input(_as_jpegs(pixels, quality)))
        return self._clean[quality]

    def under(self, sha256, v):
        """The classes predicted under the perturbation v, whose file has this SHA-256."""
        if sha256 in self.known:
            self._progress(len(self._images))
        else:
            self.known[sha256] = self.predict(lambda pixels: to_model_input(pixels) + v).classes
        return self.known[sha256]


def passes_over_images(files):
    """How many passes over the images rows files take: columns that are known count, too.

    files: list of what has a kind and perturbations.
    """
    kinds = [file.kind for file in files]
    return (CLEAN_PASSES * ("predictions" in kinds) + ATTACK_PASSES * kinds.count("predictions")
            + sum(len(file.perturbations) for file in files if file.kind != "predictions"))


def _as_jpegs(pixels, quality):
    return np.stack([as_jpeg(image, quality) for image in pixels])


def attack_columns(predictor, sha256, v, p, seed):
    """The columns of predictions.csv that a model gives: an OrderedDict of class names.

    v: float32, (h, w, 3), model-input units, and the SHA-256 of its file. p: its norm, which the
    random control keeps. seed: of the two controls.
    The images of the files are x + v clipped to 0..255 and rounded to 8 bits. PNG is lossless: an
    attacked image saved as PNG is predicted as `uap_8bit`.
    """
    clean = predictor.clean()
    attacked = predictor.predict(lambda pixels: to_model_input(pixels) + v)
    predictor.known[sha256] = attacked.classes
    columns = collections.OrderedDict([("clean", clean.classes), ("uap", attacked.classes)])

    def in_file(save):
        return predictor.predict(
            lambda pixels: to_model_input(save(to_pixels(to_model_input(pixels) + v)))).classes

    columns["uap_8bit"] = in_file(lambda pixels: pixels)
    for quality in JPEG_QUALITIES:
        columns["jpeg{}".format(quality)] = in_file(
            lambda pixels, quality=quality: _as_jpegs(pixels, quality))
    columns["clean_jpeg75"] = predictor.clean(75).classes
    random = random_of_norm(v.shape, p, norm(v, p), seed, is_grey(v))
    for name, control in (("random", random), ("permuted", permuted(v, seed))):
        columns[name] = predictor.predict(lambda pixels: to_model_input(pixels) + control).classes
    for name, predicted in (("clean", clean), ("uap", attacked)):
        columns[name + "_confidence"] = ["{:.4f}".format(c) for c in predicted.confidences]
    return columns
