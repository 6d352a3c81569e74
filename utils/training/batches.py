"""The images of a training: in which order an epoch shows them, and their batches."""

from typing import Iterator, NamedTuple, Optional, Tuple

import numpy as np

from utils.common.background import in_background
from utils.images.pixels import to_model_input

ROTATION = 5  # degrees, of augmented images
SHIFT = 0.05  # of height and width

Batch = Tuple[np.ndarray, np.ndarray]  # float32 (b, size, size, 3), model input; one-hot (b, K)


class LabelledPixels(NamedTuple):
    """The images of one side of a split, with their classes.

    images: uint8, (n, size, size, 3), 0..255. labels: int, (n,), the classes' indices.
    """

    images: np.ndarray
    labels: np.ndarray


class TrainingImages(NamedTuple):
    """Both sides of a split, and the number of classes."""

    train: LabelledPixels
    test: LabelledPixels
    num_classes: int


def number_of_batches(images: int, batch_size: int) -> int:
    """Return in how many batches so many images are shown; the last may be smaller."""
    return -(-images // batch_size)


def epoch_order(labels: np.ndarray, oversample: bool, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which one epoch shows the images.

    labels: int, (n,). oversample: repeat random images of the smaller classes until all classes
    are as large as the largest. Returns int indices; the same seed and epoch give the same order.
    """
    random = np.random.RandomState([seed, epoch])
    order = np.arange(len(labels))
    if oversample:
        counts = np.bincount(labels)
        repeated = [random.choice(np.flatnonzero(labels == label), counts.max() - count)
                    for label, count in enumerate(counts) if count]
        order = np.concatenate([order] + repeated)
    return random.permutation(order)


def batches(side: LabelledPixels, num_classes: int, batch_size: int = 32,
            order: Optional[np.ndarray] = None, augment: bool = False,
            seed: int = 0) -> Iterator[Batch]:
    """Yield (model input, one-hot labels), each batch made while the one before is used.

    order: indices of the images to show; as they are if None. augment: rotate by up to ROTATION and
    shift by up to SHIFT, drawn from `seed`.
    """
    from utils.classifier.frameworks import keras

    generator = keras.preprocessing.image.ImageDataGenerator()
    order = np.arange(len(side.labels)) if order is None else order

    def augmented(image: np.ndarray, seed: int) -> np.ndarray:
        random = np.random.RandomState(seed % 2 ** 32)
        height, width, _ = image.shape
        return generator.apply_transform(image, {
            "theta": random.uniform(-ROTATION, ROTATION),
            "tx": random.uniform(-SHIFT, SHIFT) * height,
            "ty": random.uniform(-SHIFT, SHIFT) * width})

    def batch(start: int) -> Batch:
        chosen = order[start:start + batch_size]
        x = to_model_input(side.images[chosen])
        if augment:
            x = np.stack([augmented(image, seed + start + i) for i, image in enumerate(x)])
        return x, np.eye(num_classes, dtype=np.float32)[side.labels[chosen]]

    return in_background(batch, range(0, len(order), batch_size), workers=1, most_pending=3)
