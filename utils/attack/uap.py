"""One perturbation for all images.

Moosavi-Dezfooli, Fawzi, Fawzi, Frossard: Universal adversarial perturbations, CVPR 2017,
Algorithm 1. The algorithm knows arrays and functions only; reading and saving are the caller's.

A step is kept only when it changes the label. In Algorithm 1 it does by definition (line 6: the
smallest dv with k(x_i + v + dv) != k(x_i)); its authors' code keeps a DeepFool step only when it
took fewer iterations than allowed (universal_pert.py: iter < max_iter_df - 1, so at most 8 of 10;
here any that changes the label), and the study's code keeps its step only when the label under it,
before the projection, is another (universal_perturbation.py of its copy of ART).
"""

from utils.attack.norms import project
from utils.attack.state import Showing, Shown


def universal_perturbation(state, read, logits, step, p, xi, passes, seed, target=None, goal=None):
    """Run Algorithm 1, as a generator; the result is state.v.

    state: a State, new or from an interrupted run.
    read: function (indices) -> iterator over float32 images (h, w, c) in model-input units, in the
        order of the indices, None for one that cannot be read.
    logits: function, float32 batch (n, h, w, c) -> (n, K).
    step: function (x, label) -> deepfool.Step, where label is the clean class, or the target.
    p, xi: the perturbation's norm (2 or numpy.inf) and its bound, model-input units.
    passes: at most so many over all images, each in a new order drawn from `seed`.
    target: class to reach; None to leave the clean class.
    goal: begin no further pass once v fools this share of the images (1 - delta in the paper). None
        never asks, which saves predicting all images once more after each pass.
    Yields the events of utils.attack.state; after each, another run continues from `state` and ends
    with the same bytes.
    """
    showing = Showing(state, read, logits, target)

    def one_pass():
        for found in showing.images(seed):                                                # line 4
            if isinstance(found, Shown):                     # v fools these: line 5 says no
                yield found
                continue
            x = found.x + state.v
            taken = step(x, found.label)                                          # lines 5 and 6
            kept = showing.changes_label(x, taken, found.label)
            if kept:
                state.v = project(state.v + taken.dv, p, xi)                              # line 7
            yield showing.show(found, taken, kept)

    yield from showing.passes(one_pass, passes, goal)                                     # line 3
