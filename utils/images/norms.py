"""Norms of images and perturbations: measuring, projecting, and random vectors of a given norm.

A norm runs over the whole array, all pixels and channels; p is 2 or numpy.inf.
"""

from typing import List, Sequence, Tuple, Union

import numpy as np


def norm(array: np.ndarray, p: float) -> float:
    """Return the p-norm of one array of any shape, in the array's units."""
    return float(np.linalg.norm(np.asarray(array, np.float64).ravel(), p))


def mean_norm(images: Sequence[np.ndarray], p: float) -> float:
    """Return the mean over images of each image's p-norm. images: (n, ...), grey levels 0..255."""
    return float(np.mean([norm(image, p) for image in images]))


def project(v: np.ndarray, p: float, xi: float) -> np.ndarray:
    """Project v onto the ball of radius xi around 0: P_{p,xi} of Moosavi-Dezfooli et al. 2017.

    v: float32, any shape, same units as xi. Returns float32, the nearest point of the ball in the
    Euclidean sense, so a v inside comes back unchanged.
    """
    v = np.asarray(v, np.float32)
    if p == np.inf:
        return np.clip(v, -np.float32(xi), np.float32(xi))
    length = norm(v, 2)
    return v if length <= xi else (v * (xi / length)).astype(np.float32)


def random_of_norm(shape: Tuple[int, int, int], p: float, size: float,
                   seed: Union[int, List[int]], grey: bool = False) -> np.ndarray:
    """Draw a random perturbation whose p-norm is `size`.

    p = 2: uniform on the sphere. p = inf: each entry uniform in -size..size, scaled so that the
    largest is `size`. grey: equal in the channels, the last axis. Returns float32, `shape`.
    """
    random = np.random.RandomState(seed)
    drawn_shape = shape[:2] + (1,) if grey else shape
    if p == 2:
        drawn = random.normal(size=drawn_shape)
    else:
        drawn = random.uniform(-1, 1, drawn_shape)
    r = np.broadcast_to(drawn, shape)
    return (r * (size / norm(r, p))).astype(np.float32)


def permuted(v: np.ndarray, seed: int) -> np.ndarray:
    """Return the values of v, (h, w, c), at random places, which keeps every p-norm.

    Pixels and channels alike are moved; where v is grey, whole pixels, so that it stays grey.
    """
    moved = v.reshape(-1, v.shape[2]) if is_grey(v) else v.ravel()
    return np.random.RandomState(seed).permutation(moved).reshape(v.shape)


def is_grey(images: np.ndarray) -> bool:
    """Return whether the channels, the last axis of an array, are all equal.

    images: one, (h, w, c), or many, (n, h, w, c), which are compared one by one: all at once would
    take as much memory again.
    """
    return all(bool((image == image[..., :1]).all()) for image in np.asarray(images))
