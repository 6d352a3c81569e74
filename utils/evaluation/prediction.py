"""The classes that a model predicts for its test images, clean and under perturbations."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from utils.common.background import in_background
from utils.images.norms import is_grey, norm, permuted, random_of_norm
from utils.images.pixels import as_jpeg, to_model_input, to_pixels

# Passes over the images for the columns of predictions.csv
ATTACK_PASSES = 6
CONTROL_PASSES = 2


class Predictions(NamedTuple):
    """The predicted class names, (n,), and the softmax probability of each, (n,)."""

    classes: np.ndarray
    confidences: np.ndarray


class Predictor:
    """What one model predicts for its test images.

    logits: function, float32 batch (b, h, w, 3) of model inputs -> (b, K). images: uint8,
    (n, h, w, 3). class_names: K of them. progress: called with the number of images after each
    batch, and with that of all where they need not be predicted again.
    """

    def __init__(self, logits: Callable[[np.ndarray], np.ndarray], images: np.ndarray,
                 class_names: Sequence[str], batch_size: int,
                 progress: Callable[[int], Any] = lambda count: None) -> None:
        self._logits, self._images, self._class_names = logits, images, np.array(class_names)
        self._progress = progress
        self._known: Dict[Any, Predictions] = {}
        self._slices = [slice(i, i + batch_size) for i in range(0, len(images), batch_size)]

    def predict(self, v: np.ndarray = np.float32(0),
                save: Optional[Callable[[np.ndarray], np.ndarray]] = None) -> Predictions:
        """Predict x + v for all images, or what is left of it in an image file.

        v: float32, model-input units. save: function from a uint8 batch to one. The next batch is
        prepared in the background while the model computes.
        """
        def inputs(part: slice) -> np.ndarray:
            x = to_model_input(self._images[part]) + v
            return x if save is None else to_model_input(save(to_pixels(x)))

        classes: List[np.ndarray] = []
        confidences: List[np.ndarray] = []
        for x in in_background(inputs, self._slices, workers=2, most_pending=3):
            f = np.asarray(self._logits(x), np.float64)
            confidences.append(1 / np.exp(f - f.max(axis=1, keepdims=True)).sum(axis=1))
            classes.append(self._class_names[f.argmax(axis=1)])
            self._progress(len(f))
        return Predictions(np.concatenate(classes), np.concatenate(confidences))

    def predict_once(self, key: Any, v: np.ndarray = np.float32(0),
             save: Optional[Callable[[np.ndarray], np.ndarray]] = None) -> Predictions:
        """Predict what `key` names at the first call alone, and return the same at every other."""
        if key in self._known:
            self._progress(len(self._images))
        else:
            self._known[key] = self.predict(v, save)
        return self._known[key]


def _jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda pixels: np.stack([as_jpeg(image, quality) for image in pixels])


def attack_columns(predictor: Predictor, key: str, v: np.ndarray) -> Dict[str, Sequence[str]]:
    """Predict the columns of predictions.csv on the clean images and the UAP, each of n cells.

    v: float32, (h, w, 3), model-input units, which `key` names.
    The images of the files are x + v clipped to 0..255 and rounded to 8 bits. PNG is lossless: an
    attacked image saved as PNG is predicted as `uap_8bit`.
    """
    clean, attacked = predictor.predict_once("clean"), predictor.predict_once(key, v)
    return {
        "clean": clean.classes,
        "uap": attacked.classes,
        "uap_8bit": predictor.predict(v, lambda pixels: pixels).classes,
        "jpeg95": predictor.predict(v, _jpeg(95)).classes,
        "jpeg75": predictor.predict(v, _jpeg(75)).classes,
        "clean_jpeg75": predictor.predict_once("clean, JPEG 75", save=_jpeg(75)).classes,
        "clean_confidence": [f"{confidence:.4f}" for confidence in clean.confidences],
        "uap_confidence": [f"{confidence:.4f}" for confidence in attacked.confidences]}


def control_columns(predictor: Predictor, v: np.ndarray, p: float,
                    seed: int) -> Dict[str, Sequence[str]]:
    """Predict the columns of predictions.csv on the two random controls of v, each of n cells.

    v: float32, (h, w, 3), model-input units. p: the norm of v that the random vector keeps.
    """
    random = random_of_norm(v.shape, p, norm(v, p), seed=seed, grey=is_grey(v))
    return {"random": predictor.predict_once(random.tobytes(), random).classes,
            "permuted": predictor.predict(permuted(v, seed)).classes}
