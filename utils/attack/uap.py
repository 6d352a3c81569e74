"""One perturbation for all images.

Moosavi-Dezfooli, Fawzi, Fawzi, Frossard: Universal adversarial perturbations, CVPR 2017,
Algorithm 1. The algorithm knows arrays and functions only; reading and saving are the caller's.

A step is kept only when it changes the label. In Algorithm 1 it does by definition (line 6: the
smallest dv with k(x_i + v + dv) != k(x_i)); its authors' code keeps a DeepFool step only when it
took fewer iterations than allowed (universal_pert.py: iter < max_iter_df - 1, so at most 8 of 10;
here any that changes the label), and the study's code keeps its step only when the label under it,
before the projection, is another (universal_perturbation.py of its copy of ART).
"""

from utils.attack.state import Shown
from utils.images.norms import project


def universal_perturbation(showing, step, p, xi):
    """Run Algorithm 1, as a generator; the result is showing.state.v.

    showing: a state.Showing.
    step: function (x, label) -> deepfool.Step, where label is the clean class, or the target.
    p, xi: the perturbation's norm (2 or numpy.inf) and its bound, model-input units.
    Yields the events of utils.attack.state; after each, another run continues from the state and
    ends with the same bytes.
    """
    state = showing.state
    while showing.goes_on():                                                              # line 3
        for image in showing.images():                                                    # line 4
            if isinstance(image, Shown):                     # v fools these: line 5 says no
                yield image
                continue
            x = image.x + state.v
            taken = step(x, image.label)                                          # lines 5 and 6
            kept = showing.changes_label(x, taken, image.index)
            if kept:
                state.v = project(state.v + taken.dv, p, xi)                              # line 7
            yield showing.show([image.index], [taken.predicted], [taken.path], kept)
        yield from showing.end_pass()
