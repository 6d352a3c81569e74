"""The images of an attack, pass by pass: in which order they come, and whether another pass is due.

Images are read ahead, and broken ones are passed over. The clean class of each image is predicted
when it is read for the first time.

A position is the place of an image in the order of a pass, from 0; an index is its place in the
list of all images.
"""

import itertools
from typing import Callable, Iterable, Iterator, NamedTuple, Optional

import numpy as np

from utils.attack.events import Event, ImagesChecked, PassDone
from utils.attack.objective import Objective
from utils.attack.state import BROKEN, UNKNOWN, AttackState
from utils.attack.step import Predict
from utils.common.success import successes

IMAGES_HELD = 32  # in memory at a time, where the attack does not ask for minibatches

# Indices of images -> the images, float32 (h, w, c), model-input units, in this order; None for one
# that cannot be read.
ReadSourceImages = Callable[[np.ndarray], Iterable[Optional[np.ndarray]]]


class Images(NamedTuple):
    """Some of the images of a pass that can be read, in its order.

    positions: in the order of the pass, int (m,), ascending. indices: of the images, int (m,). x:
    float32, (m, h, w, c), model-input units. clean: the classes of the clean images, int (m,).
    """

    positions: np.ndarray
    indices: np.ndarray
    x: np.ndarray
    clean: np.ndarray

    def part(self, begin: int, end: Optional[int] = None) -> "Images":
        """Return the images from number `begin` to before number `end`, counted from 0."""
        return Images(positions=self.positions[begin:end], indices=self.indices[begin:end],
                      x=self.x[begin:end], clean=self.clean[begin:end])


class Image(NamedTuple):
    """One image of a pass: x_i.

    position: in the order of the pass. image_index: of the image. x: float32, (h, w, c),
    model-input units. clean: the class of the clean image. held: this image and those that come
    next, as far as they are in memory.
    """

    position: int
    image_index: int
    x: np.ndarray
    clean: int
    held: Images


class Passes:
    """The passes over the images, which come in another order in each.

    state: of the attack. read: see ReadSourceImages. predict: of the classifier, see step.Predict.
    objective: of the attack. seed: of the order of each pass. max_passes: the largest number of
    passes. target_fooling_rate: the share of the images, 1 - delta in the UAP paper, from which on
    no further pass begins; None if the rate is never to be looked at, which saves predicting all
    images once more after each pass.
    """

    def __init__(self, state: AttackState, read: ReadSourceImages, predict: Predict,
                 objective: Objective, seed: int, max_passes: int,
                 target_fooling_rate: Optional[float] = None) -> None:
        self.max_passes = max_passes
        self._state, self._read, self._predict = state, read, predict
        self._objective, self._seed = objective, seed
        self._target_fooling_rate = target_fooling_rate

    def another_is_due(self) -> bool:
        """Tell whether another pass is to begin, or the interrupted one to go on."""
        state = self._state
        if state.passes_completed >= self.max_passes:
            return False
        if self._target_fooling_rate is None or not state.rates:
            return True
        rate = state.rates[-1]
        return rate is not None and rate < self._target_fooling_rate

    def images(self) -> Iterator[Image]:
        """Yield the rest of the current pass, one image after another."""
        for held in self.minibatches(IMAGES_HELD):
            for i in range(len(held.positions)):
                yield Image(position=int(held.positions[i]), image_index=int(held.indices[i]),
                            x=held.x[i], clean=int(held.clean[i]), held=held.part(i))

    def minibatches(self, size: int) -> Iterator[Images]:
        """Yield the rest of the current pass in minibatches.

        They begin at positions that are multiples of `size`. A minibatch is smaller where some of
        its images are broken, and left out where all of them are.
        """
        random = np.random.RandomState([self._seed, self._state.passes_completed])
        order = random.permutation(len(self._state.clean))
        return self._in_batches(order, self._state.position, size)

    def finish_pass(self) -> Iterator[Event]:
        """Finish the current pass. Where the rate decides about another one, predict all images."""
        state, rate = self._state, None
        is_last = state.passes_completed + 1 >= self.max_passes
        if self._target_fooling_rate is not None and not is_last:
            all_indices = np.arange(len(state.clean))
            for images in self._in_batches(all_indices, state.images_checked, IMAGES_HELD):
                predicted = self._predict(images.x + state.v)
                succeeded = successes(images.clean, predicted, self._objective.target)
                state.images_counted += len(succeeded)
                state.images_fooled += int(succeeded.sum())
                state.images_checked = int(images.positions[-1]) + 1
                yield ImagesChecked(state.images_checked)
            if state.images_counted:
                rate = state.images_fooled / state.images_counted
            state.rates.append(rate)
        state.passes_completed += 1
        state.position = 0
        state.images_checked = state.images_counted = state.images_fooled = 0
        yield PassDone(state.passes_completed, rate)

    def _in_batches(self, order: np.ndarray, begin: int, size: int) -> Iterator[Images]:
        """Yield the images of `order` from the position `begin` on, in batches.

        order: indices of images. Each batch ends before a position that is a multiple of `size`, so
        the first one is smaller where `begin` is none.
        """
        clean, stream = self._state.clean, iter(self._read(order[begin:]))
        while begin < len(order):
            end = (begin // size + 1) * size  # the next multiple of size
            indices, positions = order[begin:end], np.arange(begin, min(end, len(order)))
            pictures = list(itertools.islice(stream, len(indices)))
            is_broken = np.array([picture is None for picture in pictures])
            clean[indices[is_broken]] = BROKEN
            readable = clean[indices] != BROKEN
            if readable.any():
                positions, indices = positions[readable], indices[readable]
                x = np.stack([pictures[i] for i in np.flatnonzero(readable)])
                unknown = clean[indices] == UNKNOWN
                if unknown.any():
                    clean[indices[unknown]] = self._predict(x[unknown])
                yield Images(positions=positions, indices=indices, x=x, clean=clean[indices])
            begin = end
