"""What a UAP loop remembers from one image to the next, and how images come to it.

The loops themselves are uap.py, sgd.py and gd_uap.py; here is what they need beside the papers'
lines.
"""

import collections
import itertools

import numpy as np

BLOCK = 32  # images held at a time, where the loop does not ask for its minibatches

BROKEN = -2   # in State.clean: the image could not be read, once; it is left out from then on
UNKNOWN = -1  # in State.clean: not predicted yet

# One image shown. visit: count from 1 over all passes. index: of the image. clean: class of x.
# predicted: class of x + v before the step. path: see deepfool.Step; empty when v fooled it.
# kept: whether its step went into v; in a minibatch, one step for all, always.
Visit = collections.namedtuple("Visit", "visit pass_number index clean predicted path kept")

# The events of a loop. Shown: these images were; v changed after the last of them, if at all.
# LookedAgain: of all images, so many were predicted for the fooling rate after a pass. PassDone:
# its number, from 1, and that rate, or None where it was not asked for. Climbed: an
# iteration without images.
Shown = collections.namedtuple("Shown", "visits")
LookedAgain = collections.namedtuple("LookedAgain", "images")
PassDone = collections.namedtuple("PassDone", "number rate")
Climbed = collections.namedtuple("Climbed", "")

# One image, x, that v may not fool. label: its clean class, or the target.
Candidate = collections.namedtuple("Candidate", "index x label")


class State:
    """Everything a loop must remember from one image to the next.

    v: float32, (h, w, c). clean: int, (n,), the classifier's labels of the clean images.
    pass_number: passes completed. position: place in the current pass's order. visits, steps,
    updates: images shown, steps made, and steps that went into v, so far. ahead: how many images to
    check next in one batch. checked, hits: how many images were looked at again after the pass, and
    how many of these are fooled. rates: that share, for each pass after which it was asked for.
    """

    ARRAYS = ("v", "clean")

    def __init__(self, shape, n):
        self.v = np.zeros(shape, np.float32)
        self.clean = np.full(n, UNKNOWN, np.int64)
        self.pass_number = self.position = self.visits = self.steps = self.updates = 0
        self.ahead = 1
        self.checked = self.hits = 0
        self.rates = []

    def as_checkpoint(self):
        """(dict of JSON values, list of arrays) from which from_checkpoint makes the same State."""
        values = {key: value for key, value in vars(self).items() if key not in self.ARRAYS}
        return values, [getattr(self, key) for key in self.ARRAYS]

    @classmethod
    def from_checkpoint(cls, values, arrays):
        state = cls.__new__(cls)
        vars(state).update(values, **dict(zip(cls.ARRAYS, arrays)))
        return state


class Showing:
    """Shows the images to a loop, pass by pass.

    state: a State, new or from an interrupted run.
    read: function (indices) -> iterator over float32 images (h, w, c) in model-input units, in the
        order of the indices, None for one that cannot be read.
    logits: function, float32 batch (n, h, w, c) -> (n, K).
    passes: at most so many over all images, each in a new order drawn from `seed`.
    target: class to reach; None to leave the clean class.
    goal: begin no further pass once v fools this share of the images (1 - delta in the UAP paper).
        None never asks, which saves predicting all images once more after each pass.
    """

    def __init__(self, state, read, logits, passes, seed, target=None, goal=None):
        self.state, self.passes, self._seed = state, passes, seed
        self._read, self._logits, self._target, self._goal = read, logits, target, goal

    def goes_on(self):
        """Whether there is another pass."""
        rates = self.state.rates
        return self.state.pass_number < self.passes and not (rates and rates[-1] >= self._goal)

    def order(self):
        """The order of the current pass: a permutation of the images' indices."""
        return np.random.RandomState([self._seed, self.state.pass_number]).permutation(
            len(self.state.clean))

    def labels(self, indices):
        """Int (m,): the clean classes of these images, or the target."""
        if self._target is None:
            return self.state.clean[indices]
        return np.full(np.shape(indices), self._target)

    def fools(self, predicted, indices):
        """Bool (m,): whether these classes, predicted under v, are what the attack wants."""
        return (predicted == self.labels(indices)) == (self._target is not None)

    def blocks(self, order, begin, size):
        """The images of `order` from place `begin`, in blocks that end at multiples of `size`.

        Yields (places, indices, x) of those that can be read, if any: their places in the order,
        indices, and x, float32 (m, h, w, c). Their clean labels are known then.
        """
        clean, images = self.state.clean, self._read(order[begin:])
        while begin < len(order):
            block = order[begin:begin - begin % size + size]
            x = list(itertools.islice(images, len(block)))
            clean[block[[image is None for image in x]]] = BROKEN
            readable = np.flatnonzero(clean[block] != BROKEN)
            if len(readable):
                indices, x = block[readable], np.stack([x[i] for i in readable])
                unknown = clean[indices] == UNKNOWN
                if unknown.any():
                    clean[indices[unknown]] = self._logits(x[unknown]).argmax(axis=1)
                yield begin + readable, indices, x
            begin += len(block)

    def images(self):
        """The rest of the current pass: a Candidate for an image that v may not fool, which is to
        be answered by show(); Shown for images that it does.

        Each run of fooled images is checked in growing batches under the current v. Answers behind
        the first that is not fooled are dropped, so every image meets the v it would meet alone.
        """
        state = self.state
        for places, indices, x in self.blocks(self.order(), state.position, BLOCK):
            i = 0
            while i < len(places):
                if state.ahead == 1:
                    state.ahead, state.position = 2, int(places[i]) + 1
                    yield Candidate(indices[i], x[i], int(self.labels(indices[i])))
                    i += 1
                    continue
                batch = slice(i, i + state.ahead)
                predicted = self._logits(x[batch] + state.v).argmax(axis=1)
                fooled = self.fools(predicted, indices[batch])
                number = len(fooled) if fooled.all() else int(fooled.argmin())
                state.ahead = min(2 * state.ahead, BLOCK) if fooled.all() else 1
                i += number
                if number:
                    state.position = int(places[i - 1]) + 1
                    yield self.show(indices[i - number:i], predicted, [[]] * number, False)

    def changes_label(self, x, step, index):
        """Whether `step` from x, which is x_i + v, does what it is for: the class of x + dv is what
        the attack wants. A DeepFool that converged has seen that class."""
        if not step.path:
            return False
        reached = step.reached
        if reached is None:
            reached = self._logits((x + step.dv)[np.newaxis])[0].argmax()
        return bool(self.fools(reached, index))

    def show(self, indices, predicted, paths, kept):
        """Note that these images were shown, and that a step was made if there is a path; the event
        to yield. predicted, paths: of each, and kept: of all, as in Visit."""
        state = self.state
        if kept or any(paths):
            state.steps += 1
            state.ahead = 1
        state.updates += kept
        visits = [Visit(state.visits + count, state.pass_number + 1, int(index),
                        int(state.clean[index]), int(label), path, kept)
                  for count, (index, label, path) in enumerate(zip(indices, predicted, paths), 1)]
        state.visits += len(visits)
        return Shown(visits)

    def end_pass(self):
        """End the current pass: predict all images under v, where the fooling rate decides about
        another pass. Yields LookedAgain and PassDone."""
        state, rate = self.state, None
        if self._goal is not None and state.pass_number + 1 < self.passes:
            for places, indices, x in self.blocks(
                    np.arange(len(state.clean)), state.checked, BLOCK):
                predicted = self._logits(x + state.v).argmax(axis=1)
                state.hits += int(self.fools(predicted, indices).sum())
                state.checked = int(places[-1]) + 1
                yield LookedAgain(state.checked)
            rate = state.hits / max(1, int((state.clean != BROKEN).sum()))
            state.rates.append(rate)
        state.pass_number += 1
        state.position = state.checked = state.hits = 0
        yield PassDone(state.pass_number, rate)
