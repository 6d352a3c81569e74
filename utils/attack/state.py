"""What a UAP loop remembers from one image to the next, and how images come to it.

The loops themselves are uap.py, sgd.py and gd_uap.py; here is what they need beside the papers'
lines: reading in blocks, finding images that v fools already in batches, passes, and a state that
can be saved anywhere.
"""

import collections

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
# its number, from 1, and that rate, or None where it was not asked for.
Shown = collections.namedtuple("Shown", "visits")
LookedAgain = collections.namedtuple("LookedAgain", "images")
PassDone = collections.namedtuple("PassDone", "number rate")

# The event of a loop without images. Climbed: an iteration from a v of this objective, of whose
# values this share was at the bound.
Climbed = collections.namedtuple("Climbed", "objective share")

# An image that v may not fool. place: in the order of the pass. label: its clean class, or the
# target.
Candidate = collections.namedtuple("Candidate", "place index x label")


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
    """Shows the images to a loop. Arguments: see uap.universal_perturbation."""

    def __init__(self, state, read, logits, target):
        self._state, self._read, self._logits, self._target = state, read, logits, target

    def fools(self, labels, indices):
        """Bool (n,): whether these labels, predicted under v, are what the attack wants."""
        if self._target is not None:
            return labels == self._target
        return labels != self._state.clean[indices]

    def order(self, seed):
        """The order of the current pass: a permutation of the images' indices."""
        return np.random.RandomState([seed, self._state.pass_number]).permutation(
            len(self._state.clean))

    def blocks(self, order, begin, size=BLOCK):
        """The images of `order` from place `begin`, `size` places at a time.

        Yields (end, places, indices, x): where the block ends; then of those that can be read
        their places and indices, and x, float32 (m, h, w, c). Their clean labels are known then.
        """
        clean, images = self._state.clean, self._read(order[begin:])
        for start in range(begin, len(order), size):
            places = np.arange(start, min(start + size, len(order)))
            x = [next(images) for _ in places]
            end = start + len(x)
            clean[order[places[[image is None for image in x]]]] = BROKEN
            readable = np.flatnonzero(clean[order[places]] != BROKEN)
            if not len(readable):
                yield end, [], [], None
                continue
            indices, x = order[places[readable]], np.stack([x[i] for i in readable])
            unknown = clean[indices] == UNKNOWN
            if unknown.any():
                clean[indices[unknown]] = self._logits(x[unknown]).argmax(axis=1)
            yield end, places[readable], indices, x

    def images(self, seed):
        """The rest of the current pass, in its seeded order: a Candidate for an image that v may
        not fool, which is to be answered by show(); Shown for images that it does.

        Each run of fooled images is checked in growing batches under the current v. Answers behind
        the first that is not fooled are dropped, so every image meets the v it would meet alone.
        """
        state = self._state
        order = self.order(seed)
        for end, places, indices, x in self.blocks(order, state.position - state.position % BLOCK):
            i = int(np.searchsorted(places, state.position))
            while i < len(places):
                if state.ahead == 1:
                    index = int(indices[i])
                    yield Candidate(int(places[i]), index, x[i], int(
                        state.clean[index]) if self._target is None else self._target)
                    i += 1
                    continue
                labels = self._logits(x[i:i + state.ahead] + state.v).argmax(axis=1)
                hits = self.fools(labels, indices[i:i + state.ahead])
                state.ahead = min(2 * state.ahead, BLOCK) if hits.all() else 1
                number = len(hits) if hits.all() else int(hits.argmin())
                visits = [self._visit(int(places[j]), int(indices[j]), int(label), [], False)
                          for j, label in zip(range(i, i + number), labels)]
                i += number
                if visits:
                    yield Shown(visits)
            state.position = end

    def changes_label(self, x, step, label):
        """Whether `step` from x, which is x_i + v, does what it is for: the class of x + dv is not
        `label`, or it is when that is the target. A DeepFool that converged has seen that class."""
        if not step.path:
            return False
        reached = step.reached
        if reached is None:
            reached = int(self._logits((x + step.dv)[np.newaxis]).argmax())
        return (reached != label) == (self._target is None)

    def show(self, candidate, step, kept):
        """Note what came of a Candidate; the event to yield."""
        state = self._state
        state.ahead = 1 if step.path else 2
        state.steps += bool(step.path)
        state.updates += kept
        return Shown([self._visit(candidate.place, candidate.index, step.predicted, step.path,
                                  kept)])

    def show_minibatch(self, places, indices, f, label):
        """Note that these images went into one step of v; the event to yield.

        f: logits under v before the step, (m, K). label: the class whose loss it changed, (m,).
        """
        state = self._state
        state.steps += 1
        state.updates += 1
        predicted = f.argmax(axis=1)
        return Shown([
            self._visit(int(place), int(index), int(k), [] if is_fooled else [int(wanted)], True)
            for place, index, k, is_fooled, wanted
            in zip(places, indices, predicted, self.fools(predicted, indices), label)])

    def _visit(self, place, index, predicted, path, kept):
        state = self._state
        state.visits += 1
        state.position = place + 1
        return Visit(state.visits, state.pass_number + 1, index, int(state.clean[index]), predicted,
                     path, kept)

    def look_again(self):
        """Predict all images under v, for the fooling rate after a pass; yields LookedAgain."""
        state = self._state
        for end, _, indices, x in self.blocks(np.arange(len(state.clean)), state.checked):
            if len(indices):
                labels = self._logits(x + state.v).argmax(axis=1)
                state.hits += int(self.fools(labels, indices).sum())
            state.checked = end
            yield LookedAgain(end)
        state.rates.append(state.hits / max(1, int((state.clean != BROKEN).sum())))

    def passes(self, one_pass, passes, goal):
        """Run `one_pass`, a function that gives the events of the rest of the current pass, until
        there are `passes` of them, or v fools the share `goal` of the images. Yields all events.
        """
        state = self._state
        while state.pass_number < passes and not (state.rates and state.rates[-1] >= goal):
            yield from one_pass()
            rate = None
            if goal is not None and state.pass_number + 1 < passes:
                yield from self.look_again()
                rate = state.rates[-1]
            state.pass_number += 1
            state.position = state.checked = state.hits = 0
            yield PassDone(state.pass_number, rate)
