"""Two versions of the UAP loop side by side: the product's, and Algorithm 1 as test_uap.py has it.

Two computations that round differently cannot take the same decision where the margin that decides
is rounding, and DeepFool looks for such places: each of its iterations ends beside a boundary. So
the product's loop is led along the plain one's points and compared there: numbers within the
tolerances below, decisions unless they are excused, at most EXCUSED of them. The toy classifiers of
test_uap.py, in float64, are compared without excuses.
"""

from typing import Callable, NamedTuple

import numpy as np
from test_uap import plain_algorithm

from utils.attack.deepfool import OVERSHOOT, deepfool
from utils.attack.events import ImagesShown, Visit
from utils.attack.look_ahead import LookAhead, remember_last_answer
from utils.attack.objective import Objective
from utils.attack.passes import Passes
from utils.attack.state import first_state
from utils.attack.uap import universal_perturbation
from utils.classifier.frameworks import K, tf

# Rounding of the logits at a point: float32's epsilon times the largest sum of absolute terms that
# a logit is made of. The two versions differ by up to 2 of it, gaps of two logits by 1.6.
EPSILON = np.finfo(np.float32).eps
LOGITS = 8        # times rounding: how far apart two logits may be
DECISIONS = 5     # times rounding: the margin below which a decision is excused
EXCUSED = 0.02    # of all decisions
GRADIENTS = 1e-5  # relative
V = 1e-4          # relative
CLOSE = 100       # times rounding: margin below which two runs on points of their own may part


class PlainClassifier:
    """The Keras model as plain_algorithm() asks for it; x is rounded to float32, as everywhere."""

    def __init__(self, model):
        last = model.get_layer("logits")
        self._input, self._features, self._f = model.input, last.input, last.output
        self._gradients = [tf.gradients(self._f[:, k], self._input)[0]
                           for k in range(int(self._f.shape[1]))]
        self._weights = [np.abs(weight) for weight in last.get_weights()]
        self.shape = tuple(self._input.shape.as_list()[1:])

    def logits(self, batch):
        """Logits, float64 (n, K), and their rounding, (n,)."""
        f, features = K.get_session().run((self._f, self._features), {self._input: batch})
        kernel, bias = self._weights
        return f.astype(np.float64), EPSILON * (np.abs(features).dot(kernel) + bias).max(axis=1)

    def f(self, x):
        return self.logits(x[np.newaxis])[0][0]

    def top(self, x):
        return int(self.f(x).argmax())

    def gradients(self, x):
        return self._gradients_of(x[np.newaxis])[:, 0]

    def _gradients_of(self, batch):
        return np.array(K.get_session().run(self._gradients, {self._input: batch}), np.float64)

    def margin(self, x):
        """(gap of the two largest logits, rounding)."""
        f, rounding = self.logits(x[np.newaxis])
        second, first = np.sort(f[0])[-2:]
        return first - second, rounding[0]

    def is_smooth(self, x):
        """Whether the gradients within rounding of x are those at x; else the two versions may be
        on different sides of a rectifier or a maximum, and both right."""
        near = x + 4 * EPSILON * np.random.RandomState(0).uniform(-1, 1, (8,) + x.shape)
        here = self.gradients(x)[:, np.newaxis]
        return np.linalg.norm(self._gradients_of(near) - here) < GRADIENTS * np.linalg.norm(here)


class PlainRun:
    """One pass of the plain version. visits: list of Visit. trace: see plain_algorithm."""

    def __init__(self, plain, images, p, xi, max_iter):
        self.plain, self.max_iter, self.trace = plain, max_iter, []
        self._images, self._p, self._xi = images, p, xi
        self.visits = [Visit(*visit) for visit in plain_algorithm(
            plain, images, p=p, passes=1, xi=xi, max_iter=max_iter, trace=self.trace)[1]]

    def product(self, logits, gradients, step):
        """(state, events) of the product's loop over the same images."""
        def predict(batch):
            return logits(batch).argmax(axis=1)

        state, objective = first_state(self.plain.shape, len(self._images)), Objective()
        passes = Passes(state, lambda indices: iter(self._images[indices]), predict, objective,
                        seed=0, max_passes=1)
        look_ahead = LookAhead(state, predict, gradients, objective)
        return state, universal_perturbation(state, passes, look_ahead, step, predict, objective,
                                             p=self._p, xi=self._xi)

    def nearest(self, point, f, g, label):
        """(l, r_i, margin, rounding): the paper's, and by how much the next boundary is farther."""
        w = np.delete(g - g[label], label, axis=0)
        lengths = np.sqrt((w ** 2).sum(axis=(1, 2, 3)))
        distances = np.delete(f[label] - f, label) / lengths
        first, second = distances.argsort()[:2]
        return (int(first + (first >= label)), distances[first] / lengths[first] * w[first],
                distances[second] - distances[first],
                self.plain.margin(point)[1] / lengths.min() + EPSILON * distances[second])

    def is_close(self, number):
        """Whether a decision in this visit, from 0, could fall otherwise on a point nearby."""
        label, (x, shown, points, dv, _) = self.visits[number].clean, self.trace[number]
        looked_at = [point for point, _, _ in points]
        margins = [self.plain.margin(point) for point in [x, shown, shown + dv] + looked_at]
        margins += [self.nearest(point, f, g, label)[2:] for point, f, g in points
                    if f.argmax() == label]
        return (any(margin < CLOSE * rounding for margin, rounding in margins)
                or not all(self.plain.is_smooth(point) for point in looked_at))


class FastPath(NamedTuple):
    """The functions that the attacks call: of the classifier, its differences, and DeepFool."""

    logits: Callable
    differences: Callable
    deepfool: Callable


def alike_until(fast, run):
    """How many visits of a run of the fast path, on its own points, are those of the plain one.

    Raises AssertionError if they part where no decision is close.
    """
    gradients = remember_last_answer(fast.differences)
    state, events = run.product(fast.logits, gradients, lambda x, label: fast.deepfool(
        x, gradients, label, max_iter=run.max_iter))
    for event in events:
        for visit in event.visits if isinstance(event, ImagesShown) else ():
            number, v = visit.visit - 1, run.trace[visit.visit - 1][-1]
            error = np.linalg.norm(state.v - v)
            if visit != run.visits[number] or error > V * np.linalg.norm(v):
                assert run.is_close(number), (visit, run.visits[number], error)
                return number
    return state.visits


class Led:
    """Runs the fast path's loop, and puts it back on the plain one's points wherever it asks.

    decisions, excused: numbers of those compared, and of those whose margin was too small; one
    excused ends the comparison of its visit.
    """

    def __init__(self, fast, run):
        self._fast, self._run, self._plain = fast, run, run.plain
        self._differences = remember_last_answer(self._compared_differences)
        self._state, self._events = run.product(self._logits, self._differences, self._step)
        self._number = None      # of the visit whose points are being looked at
        self._end = None         # the point at which the loop will look whether to keep the step
        self._is_over = False    # the comparison of this visit
        self.decisions = self.excused = 0

    def compare(self):
        """Returns self. Raises AssertionError."""
        for event in self._events:
            if not isinstance(event, ImagesShown):
                continue
            v = self._run.trace[self._state.visits - 1][-1]
            # what was predicted in one batch with an excused image had v of before its step
            if all(self._agree_about(visit) for visit in event.visits):
                assert_near("v", self._state.v, v, V)
            self._state.v = v.astype(np.float32)
        assert self._state.visits == len(self._run.visits)
        assert self.excused <= EXCUSED * self.decisions
        return self

    def _agree(self, what, found, expected, margin, rounding):
        """Whether both decide alike; False where that is excused, and else AssertionError."""
        self.decisions += 1
        if margin < DECISIONS * rounding:
            self.excused += 1
            return False
        assert found == expected, (f"{what}: {found}, not {expected}; margin {margin:.3g}, "
                                   f"rounding {rounding:.3g}")
        return True

    def _logits(self, batch):
        if self._end is not None:
            batch, self._end = self._end[np.newaxis], None
        found, (f, rounding) = self._fast.logits(batch), self._plain.logits(batch)
        assert (np.abs(found - f) <= LOGITS * rounding[:, np.newaxis]).all(), "logits"
        return found

    def _compared_differences(self, asked, label):
        """The gradients at the next of the plain version's points in this visit."""
        if self._number != self._state.visits:
            self._number = self._state.visits
            points = self._run.trace[self._number][2]
            self._is_over = label != self._run.visits[self._number].clean or not points
            self._rest, self._slack = iter(points), 0.0
        if self._is_over:
            return self._fast.differences(asked, label)
        point, f, g = next(self._rest, (None,) * 3)
        assert point is not None, "goes on where the plain version has stopped"
        assert_near("point", asked, point, 4 * EPSILON, self._slack)
        found = self._fast.differences(point.astype(np.float32), label)
        self._slack += self._compare(point, label, *found, f, g)
        return found

    def _step(self, x, label):
        number = self._state.visits
        _, shown, _, dv, _ = self._run.trace[number]
        step = self._fast.deepfool(x, self._differences, label, max_iter=self._run.max_iter)
        if not self._is_over:
            assert next(self._rest, None) is None, "stops where the plain version goes on"
            assert step.path == self._run.visits[number].path, "path"
            assert_near("dv", step.dv, dv, EPSILON, self._slack)
            self._end = (shown + dv).astype(np.float32) if step.class_after is None else None
        return step

    def _compare(self, point, label, found_f, found_w, f, g):
        """At one label check. Returns how far apart the two steps from there may be."""
        gap, rounding = self._plain.margin(point)
        assert (np.abs(found_f - f) <= LOGITS * rounding).all(), "logits"
        self._is_over = not self._agree("stop", found_w is None, f.argmax() != label, gap, rounding)
        if self._is_over or found_w is None:
            return 0.0
        w = g - g[label]
        if any(np.linalg.norm(a - b) > GRADIENTS * np.linalg.norm(b) for a, b in zip(found_w, w)):
            assert not self._plain.is_smooth(point), "gradients"
            self.excused, self._is_over = self.excused + 1, True
            return 0.0
        step = deepfool(point.astype(np.float32), lambda *_: (found_f, found_w), label, max_iter=1)
        l, r_i, *margin = self._run.nearest(point, f, g, label)
        self._is_over = not self._agree("class l", step.path, [l], *margin)
        if self._is_over:
            return 0.0
        slack = 2 * (GRADIENTS * np.linalg.norm(r_i) + DECISIONS * rounding / np.linalg.norm(w[l]))
        assert_near("step", step.dv, (1 + OVERSHOOT) * r_i, 0, slack)
        return slack

    def _agree_about(self, visit):
        """Whether all was decided alike in this visit."""
        number = visit.visit - 1
        plain, (x, shown, _, dv, _) = self._run.visits[number], self._run.trace[number]
        assert visit.image_index == plain.image_index
        if not (self._agree("clean label", visit.clean, plain.clean, *self._plain.margin(x))
                and self._agree("label under v", visit.predicted, plain.predicted,
                                *self._plain.margin(shown))) or visit.path and self._is_over:
            return False
        if len(visit.path) < self._run.max_iter:  # DeepFool's last label check decided that
            assert visit.kept == plain.kept, "kept"
            return True
        return self._agree("kept", visit.kept, plain.kept, *self._plain.margin(shown + dv))


def assert_near(what, found, expected, relative, absolute=0.0):
    error, length = np.linalg.norm(found - expected), np.linalg.norm(expected)
    assert error <= relative * length + absolute, f"{what}: {error:.3g} of {length:.3g}"
