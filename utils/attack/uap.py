"""One perturbation for all images.

Moosavi-Dezfooli, Fawzi, Fawzi, Frossard: Universal adversarial perturbations, CVPR 2017,
Algorithm 1. The algorithm knows arrays and functions only; reading and saving are the caller's.
"""

import collections

import numpy as np

from utils.attack.norms import project

BLOCK = 32  # images held at a time; also the largest batch given to the classifier

# One image shown to the loop. visit: count from 1 over all passes. index: of the image.
# clean: class of x. predicted: class of x + v before the update. path: see deepfool.Step.
Visit = collections.namedtuple("Visit", "visit pass_number index clean predicted path")

BROKEN = -2   # in State.clean: the image could not be read, once; it is left out from then on
UNKNOWN = -1  # in State.clean: not predicted yet


class State:
    """Everything the loop must remember from one image to the next.

    v: float32, (h, w, c). clean: int, (n,), the classifier's labels of the clean images.
    pass_number: passes completed. position: place in the current pass's order. visits, updates:
    images shown and images that changed v, so far. ahead: how many images to check next in one
    batch. checked, hits: after the images of a pass were shown, how many were looked at again for
    the fooling rate, and how many of these are fooled. rates: that rate of each completed pass.
    """

    def __init__(self, shape, n):
        self.v = np.zeros(shape, np.float32)
        self.clean = np.full(n, UNKNOWN, np.int64)
        self.pass_number = 0
        self.position = 0
        self.visits = 0
        self.updates = 0
        self.ahead = 1
        self.checked = 0
        self.hits = 0
        self.rates = []

    @property
    def between_passes(self):
        """Whether no image of the next pass was shown yet."""
        return self.position == 0

    def as_checkpoint(self):
        """(dict of JSON values, list of arrays) from which from_checkpoint makes the same State."""
        values = {key: value for key, value in vars(self).items() if key not in ("v", "clean")}
        return values, [self.v, self.clean]

    @classmethod
    def from_checkpoint(cls, values, arrays):
        state = cls(arrays[0].shape, len(arrays[1]))
        vars(state).update(values, v=arrays[0], clean=arrays[1])
        return state


def universal_perturbation(state, read, logits, step, p, xi, passes, goal, seed, target=None):
    """Run Algorithm 1, as a generator; the result is state.v.

    state: a State, new or from an interrupted run.
    read: function (indices) -> iterator over float32 images (h, w, c) in model-input units, in the
        order of the indices, None for one that cannot be read.
    logits: function, float32 batch (n, h, w, c) -> (n, K).
    step: function (x, label) -> deepfool.Step, where label is the clean class, or the target.
    p, xi: the perturbation's norm (2 or numpy.inf) and its bound, model-input units.
    passes: at most so many over all images, each in a new order drawn from `seed`.
    goal: stop after a pass with at least this fooling rate on the images: 1 - delta in the paper.
    target: class to reach; None to leave the clean class.
    Yields lists of Visits, and after a pass empty lists: with state.checked above 0 while the
    images are looked at again, then one with state.between_passes. Each time `state` is complete,
    and only the last visit of the list can have changed v.

    Each run of fooled images is checked in growing batches under the current v. Answers behind the
    first image that is not fooled are dropped, so every image meets the v that it would meet alone.
    """
    def fooled(labels, indices):
        return labels == target if target is not None else labels != state.clean[indices]

    def blocks(order, begin):
        """BLOCK places at a time: their end, and place, index and x of the readable images."""
        images = read(order[begin:])
        for start in range(begin, n, BLOCK):
            places = np.arange(start, min(start + BLOCK, n))
            x = [next(images) for _ in places]
            unread = np.array([image is None for image in x])
            state.clean[order[places[unread]]] = BROKEN
            readable = np.flatnonzero(state.clean[order[places]] != BROKEN)
            places = places[readable]
            yield (start + len(x), places, order[places],
                   np.stack([x[i] for i in readable]) if len(readable) else None)

    def visit(places, indices, x):
        """Lines 4 to 9 of Algorithm 1, for the images of one block."""
        i = int(np.searchsorted(places, state.position))
        while i < len(places):
            if state.ahead == 1:
                label = target if target is not None else int(state.clean[indices[i]])
                taken = step(x[i] + state.v, label)
                if taken.path:
                    state.v = project(state.v + taken.dv, p, xi)
                    state.updates += 1
                state.ahead = 1 if taken.path else 2
                found = [(taken.predicted, taken.path)]
            else:
                labels = logits(x[i:i + state.ahead] + state.v).argmax(axis=1)
                hits = fooled(labels, indices[i:i + state.ahead])
                state.ahead = min(2 * state.ahead, BLOCK) if hits.all() else 1
                hits = len(hits) if hits.all() else int(hits.argmin())
                found = [(int(label), []) for label in labels[:hits]]
            visits = []
            for predicted, path in found:
                state.visits += 1
                visits.append(Visit(state.visits, state.pass_number + 1, int(indices[i]),
                                    int(state.clean[indices[i]]), predicted, path))
                state.position = int(places[i]) + 1
                i += 1
            if visits:
                yield visits

    n = len(state.clean)
    while state.pass_number < passes and (not state.rates or state.rates[-1] < goal):
        order = np.random.RandomState([seed, state.pass_number]).permutation(n)
        for end, places, indices, x in blocks(order, state.position - state.position % BLOCK):
            if len(places):
                unknown = state.clean[indices] == UNKNOWN
                if unknown.any():
                    state.clean[indices[unknown]] = logits(x[unknown]).argmax(axis=1)
                yield from visit(places, indices, x)
            state.position = end
        for end, places, indices, x in blocks(np.arange(n), state.checked):
            if len(places):
                state.hits += int(fooled(logits(x + state.v).argmax(axis=1), indices).sum())
            state.checked = end
            yield []
        state.rates.append(state.hits / max(1, int((state.clean != BROKEN).sum())))
        state.pass_number += 1
        state.position = state.checked = state.hits = 0
        yield []
