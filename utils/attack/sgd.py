"""One perturbation for all images, by stochastic gradient ascent on minibatches.

Shafahi, Najibi, Xu, Dickerson, Davis, Goldstein: Universal adversarial training, AAAI 2020,
Algorithm 2: v <- P_{p,xi}(v + step), where the step climbs the mean over the minibatch of a loss
that is clipped at beta (equations 2 and 3), so that no image counts for more once it is fooled.

The rule of utils.attack.uap, a step is kept only when it changes the label, is one for single
images: here every step is kept.

The defaults were chosen without test images: on InceptionV3, 128 x 128, from 1,000 images of
ILSVRC2012 shown once; fooling rate (%) of 400 training images of the classifier, and of 200 other
natural images. The loss is the logit margin; the paper's is the cross-entropy, whose gradient is
the margin's times 1 - p_label, so an image that the classifier is sure of counts for little:

    steps, in xi     0.1         0.1   0.2 to 0.05   0.4 to 0.1   0.2 to 0.01   (others: margin)
    loss             entropy     margin
    rates            29, 43      36, 48    38, 51       29, 43        42, 55
    0.2 to 0.01 with batches of 8: 30, 46; of 32: 31, 44; with beta 2 for 10: 31, 49

From 640 ISIC2018 images the losses are alike: margin 86, cross-entropy 88 (steps 0.2 to 0.05). The
defaults from 4,000 ILSVRC2012 images: 69, 66. One run each, so differences of 5 mean little.
"""

import numpy as np

from utils.attack.norms import norm, project
from utils.attack.state import Showing

BATCH_SIZE = 16
FIRST_STEP, LAST_STEP = 0.2, 0.01  # as shares of xi


def stochastic_gradient(state, read, logits, gradient, p, xi, passes, seed, batch_size=BATCH_SIZE,
                        step_size=None, target=None, goal=None):
    """Run Algorithm 2, as a generator; the result is state.v.

    state, read, logits, p, xi, passes, seed, target, goal: as of uap.universal_perturbation; the
        events too, one Shown for each minibatch.
    gradient: function (x, label) -> (f, g), of a minibatch x (n, h, w, c) and label (n,): logits
        (n, K), and g (h, w, c), which points where the loss grows: to leave the labels, or to
        reach them where there is a target; see graph.AttackGraph.
    step_size: length of each step in the p-norm, model-input units, the same throughout. None:
        it falls in a straight line from FIRST_STEP to LAST_STEP times xi over all passes.
    """
    showing, n = Showing(state, read, logits, target), len(state.clean)

    def length():
        done = (state.pass_number * n + state.position) / (passes * n)
        return step_size or xi * (FIRST_STEP + (LAST_STEP - FIRST_STEP) * done)

    def one_pass():
        for end, places, indices, x in showing.blocks(showing.order(seed), state.position,
                                                      batch_size):
            if len(indices):
                label = state.clean[indices] if target is None else np.full(len(x), target)
                f, g = gradient(x + state.v, label)
                state.v = project(state.v + steepest(g, p, length()), p, xi)
                shown = showing.show_minibatch(places, indices, f, label)
                state.position = end
                yield shown
            state.position = end

    yield from showing.passes(one_pass, passes, goal)


def steepest(g, p, length):
    """The step of this p-norm that climbs g fastest: along its signs (p = inf), or along it (2)."""
    if p == np.inf:
        return (length * np.sign(g)).astype(np.float32)
    size = norm(g, 2)
    return (g * (length / size if size else 0)).astype(np.float32)
