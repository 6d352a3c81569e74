"""The images of an attack, pass by pass: in which order they come, and whether another pass is due.

Images are read ahead, broken ones are passed over, and the clean class of each that is given is
known.
"""

import itertools
from typing import Callable, Iterable, Iterator, NamedTuple, Optional

import numpy as np

from utils.attack.events import Event, ImagesChecked, PassDone
from utils.attack.objective import Objective
from utils.attack.state import BROKEN, UNKNOWN, AttackState
from utils.attack.step import Predict
from utils.common.success import is_fooled, is_targeted_success

IMAGES_HELD = 32  # in memory at a time, where the attack does not ask for minibatches

# Indices of images -> the images, float32 (h, w, c), model-input units, in this order; None for one
# that cannot be read.
ReadImages = Callable[[np.ndarray], Iterable[Optional[np.ndarray]]]


class Images(NamedTuple):
    """Some of the images of a pass that can be read, in its order.

    places: in the order of the pass, int (m,), ascending. indices: of the images, int (m,). x:
    float32, (m, h, w, c), model-input units. clean: the classes of the clean images, int (m,).
    """

    places: np.ndarray
    indices: np.ndarray
    x: np.ndarray
    clean: np.ndarray

    def part(self, begin: int, end: Optional[int] = None) -> "Images":
        """Return the images from `begin` to before `end`, counted from 0."""
        return Images(places=self.places[begin:end], indices=self.indices[begin:end],
                      x=self.x[begin:end], clean=self.clean[begin:end])


class Image(NamedTuple):
    """One image of a pass: x_i.

    place: in the order of the pass. image_index: of the image. x: float32, (h, w, c), model-input
    units. clean: the class of the clean image. held: this image and those that come next, as far as
    they are in memory.
    """

    place: int
    image_index: int
    x: np.ndarray
    clean: int
    held: Images


class Passes:
    """The passes over the images, which come in another order in each.

    state: of the attack. read: see ReadImages. predict: of the classifier, see step.Predict.
    objective: of the attack. seed: of the order of each pass. most: so many passes at the most.
    enough: begin no further pass once v fools this share of the images, 1 - delta in the UAP paper;
    None never asks, which saves predicting all images once more after each pass.
    """

    def __init__(self, state: AttackState, read: ReadImages, predict: Predict,
                 objective: Objective, seed: int, most: int,
                 enough: Optional[float] = None) -> None:
        self.most = most
        self._state, self._read, self._predict = state, read, predict
        self._objective, self._seed, self._enough = objective, seed, enough

    def another_is_due(self) -> bool:
        """Tell whether another pass is to begin, or the interrupted one to go on."""
        state = self._state
        if state.pass_number >= self.most:
            return False
        if self._enough is None or not state.rates:
            return True
        rate = state.rates[-1]
        return rate is not None and rate < self._enough

    def images(self) -> Iterator[Image]:
        """Yield the rest of the current pass, one image after another."""
        for held in self.minibatches(IMAGES_HELD):
            for i in range(len(held.places)):
                yield Image(place=int(held.places[i]), image_index=int(held.indices[i]),
                            x=held.x[i], clean=int(held.clean[i]), held=held.part(i))

    def minibatches(self, size: int) -> Iterator[Images]:
        """Yield the rest of the current pass in minibatches.

        They begin at multiples of `size` places, are smaller where images are broken, and are left
        out where all are.
        """
        random = np.random.RandomState([self._seed, self._state.pass_number])
        order = random.permutation(len(self._state.clean))
        return self._in_batches(order, self._state.position, size)

    def end(self) -> Iterator[Event]:
        """End the current pass. Where the rate decides about another pass, predict all images."""
        state, rate = self._state, None
        if self._enough is not None and state.pass_number + 1 < self.most:
            all_indices = np.arange(len(state.clean))
            for images in self._in_batches(all_indices, state.images_checked, IMAGES_HELD):
                predicted = self._predict(images.x + state.v)
                state.images_fooled += int(self._successes(images.clean, predicted).sum())
                state.images_checked = int(images.places[-1]) + 1
                yield ImagesChecked(state.images_checked)
            readable = state.clean[state.clean != BROKEN]
            count = len(self._successes(readable, readable))
            rate = state.images_fooled / count if count else None
            state.rates.append(rate)
        state.pass_number += 1
        state.position = state.images_checked = state.images_fooled = 0
        yield PassDone(state.pass_number, rate)

    def _successes(self, clean: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Tell of each image that counts whether it is a success, bool."""
        if self._objective.target is None:
            return is_fooled(clean, predicted)
        return is_targeted_success(clean, predicted, self._objective.target)

    def _in_batches(self, order: np.ndarray, begin: int, size: int) -> Iterator[Images]:
        """Yield the images of `order` from the place `begin`, in batches.

        Their ends are at multiples of `size`.
        """
        clean, stream = self._state.clean, iter(self._read(order[begin:]))
        while begin < len(order):
            end = begin - begin % size + size
            indices, places = order[begin:end], np.arange(begin, min(end, len(order)))
            pictures = list(itertools.islice(stream, len(indices)))
            is_broken = np.array([picture is None for picture in pictures])
            clean[indices[is_broken]] = BROKEN
            readable = clean[indices] != BROKEN
            if readable.any():
                places, indices = places[readable], indices[readable]
                x = np.stack([pictures[i] for i in np.flatnonzero(readable)])
                unknown = clean[indices] == UNKNOWN
                if unknown.any():
                    clean[indices[unknown]] = self._predict(x[unknown])
                yield Images(places=places, indices=indices, x=x, clean=clean[indices])
            begin = end
