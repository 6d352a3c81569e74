"""The classes that a model predicts for its test images, clean and under perturbations."""

import numpy as np

from utils.common.background import in_background
from utils.images.norms import is_grey, norm, permuted, random_of_norm
from utils.images.pixels import as_jpeg, to_model_input, to_pixels

PASSES = 8  # over the images, for the columns of predictions.csv


class Predictor:
    """What one model predicts for its test images.

    logits: function, float32 batch (b, h, w, 3) of model inputs -> (b, K). images: uint8,
    (n, h, w, 3). class_names: K of them. progress: called with the number of images after each
    batch, and with that of all where they need not be predicted again.
    """

    def __init__(self, logits, images, class_names, batch_size, progress=lambda count: None):
        self._logits, self._images, self._class_names = logits, images, np.array(class_names)
        self._progress, self._known = progress, {}
        self._slices = [slice(i, i + batch_size) for i in range(0, len(images), batch_size)]

    def predict(self, v=np.float32(0), save=None):
        """Predict x + v for all images, or what is left of it in an image file.

        v: float32, model-input units. save: function from a uint8 batch to one. The next batch is
        prepared in the background while the model computes.
        Returns (n class names, the softmax probability of each).
        """
        def inputs(part):
            x = to_model_input(self._images[part]) + v
            return x if save is None else to_model_input(save(to_pixels(x)))

        classes, confidences = [], []
        for x in in_background(inputs, self._slices, 2, 3):
            f = np.asarray(self._logits(x), np.float64)
            confidences.append(1 / np.exp(f - f.max(axis=1, keepdims=True)).sum(axis=1))
            classes.append(self._class_names[f.argmax(axis=1)])
            self._progress(len(f))
        return np.concatenate(classes), np.concatenate(confidences)

    def once(self, key, *arguments):
        """predict(*arguments), which `key` names: predicted at the first call alone."""
        if key in self._known:
            self._progress(len(self._images))
        else:
            self._known[key] = self.predict(*arguments)
        return self._known[key]


def _jpeg(quality):
    return lambda pixels: np.stack([as_jpeg(image, quality) for image in pixels])


def attack_columns(predictor, sha256, v, p, seed):
    """The columns of predictions.csv that a model gives: dict from a column to n cells.

    v: float32, (h, w, 3), model-input units, and the SHA-256 of its file. p: its norm, which the
    random control keeps. seed: of the two controls.
    The images of the files are x + v clipped to 0..255 and rounded to 8 bits. PNG is lossless: an
    attacked image saved as PNG is predicted as `uap_8bit`.
    """
    random = random_of_norm(v.shape, p, norm(v, p), seed, is_grey(v))
    found = {
        "clean": predictor.once("clean"), "uap": predictor.once(sha256, v),
        "uap_8bit": predictor.predict(v, lambda pixels: pixels),
        "jpeg95": predictor.predict(v, _jpeg(95)), "jpeg75": predictor.predict(v, _jpeg(75)),
        "clean_jpeg75": predictor.once("clean, JPEG 75", np.float32(0), _jpeg(75)),
        "random": predictor.once(random.tobytes(), random),
        "permuted": predictor.predict(permuted(v, seed))}
    columns = {name: classes for name, (classes, _) in found.items()}
    for name in ("clean", "uap"):
        columns[name + "_confidence"] = ["{:.4f}".format(c) for c in found[name][1]]
    return columns
