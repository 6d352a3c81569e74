"""The classes that a model predicts for its test images, clean and under perturbations."""

import collections

import numpy as np

from utils.attack.norms import is_grey, norm, permuted, random_of_norm
from utils.images import as_jpeg, in_background, to_model_input, to_pixels

PASSES = 8  # over the images, for the columns of predictions.csv

# The class names predicted for n images, and the softmax probability of each.
Predicted = collections.namedtuple("Predicted", "classes confidences")


class Predictor:
    """What one model predicts for its test images.

    logits: function, float32 batch (b, h, w, 3) of model inputs -> (b, K). images: uint8,
    (n, h, w, 3). class_names: K of them. progress: called with the number of images after each
    batch, and with that of all where they need not be predicted again.
    """

    def __init__(self, logits, images, class_names, batch_size, progress=lambda count: None):
        self._logits, self._images, self._class_names = logits, images, class_names
        self._progress, self._known = progress, {}
        self._slices = [slice(i, i + batch_size) for i in range(0, len(images), batch_size)]

    def predict(self, v=np.float32(0), save=None):
        """Predict x + v for all images, or what is left of it in an image file.

        v: float32, model-input units. save: function from a uint8 batch to one. The next batch is
        prepared in the background while the model computes. Returns a Predicted.
        """
        def inputs(part):
            x = to_model_input(self._images[part]) + v
            return x if save is None else to_model_input(save(to_pixels(x)))

        classes, confidences = [], []
        for x in in_background(inputs, self._slices, 2, 3):
            f = np.asarray(self._logits(x), np.float64)
            confidences.append(1 / np.exp(f - f.max(axis=1, keepdims=True)).sum(axis=1))
            classes += [self._class_names[k] for k in f.argmax(axis=1)]
            self._progress(len(f))
        return Predicted(classes, np.concatenate(confidences))

    def once(self, key, *arguments):
        """predict(*arguments), which `key` names: predicted at the first call alone."""
        if key in self._known:
            self._progress(len(self._images))
        else:
            self._known[key] = self.predict(*arguments)
        return self._known[key]


def passes_over_images(files):
    """How many passes over the images the rows files take: objects with kind, perturbations."""
    return sum(PASSES if file.kind == "predictions" else len(file.perturbations) for file in files)


def _jpeg(quality):
    return lambda pixels: np.stack([as_jpeg(image, quality) for image in pixels])


def attack_columns(predictor, sha256, v, p, seed):
    """The columns of predictions.csv that a model gives: an OrderedDict of class names.

    v: float32, (h, w, 3), model-input units, and the SHA-256 of its file. p: its norm, which the
    random control keeps. seed: of the two controls.
    The images of the files are x + v clipped to 0..255 and rounded to 8 bits. PNG is lossless: an
    attacked image saved as PNG is predicted as `uap_8bit`.
    """
    random = random_of_norm(v.shape, p, norm(v, p), seed, is_grey(v))
    zero = np.float32(0)
    found = collections.OrderedDict([
        ("clean", predictor.once("clean")), ("uap", predictor.once(sha256, v)),
        ("uap_8bit", predictor.predict(v, lambda pixels: pixels)),
        ("jpeg95", predictor.predict(v, _jpeg(95))), ("jpeg75", predictor.predict(v, _jpeg(75))),
        ("clean_jpeg75", predictor.once("clean, JPEG 75", zero, _jpeg(75))),
        ("random", predictor.predict(random)), ("permuted", predictor.predict(permuted(v, seed)))])
    columns = collections.OrderedDict((name, its.classes) for name, its in found.items())
    for name in ("clean", "uap"):
        columns[name + "_confidence"] = ["{:.4f}".format(c) for c in found[name].confidences]
    return columns
