"""One perturbation for all images, by stochastic gradient ascent on minibatches.

Shafahi, Najibi, Xu, Dickerson, Davis, Goldstein: Universal adversarial training, AAAI 2020,
Algorithm 2: v <- P_{p,xi}(v + step), where the step climbs the mean over the minibatch of a loss
that is clipped at beta (equations 2 and 3), so that no image counts for more once it is fooled.

The rule of utils.attack.uap, a step is kept only when it changes the label, is one for single
images: here every step is kept.

The loss is the logit margin; the paper's is the cross-entropy, whose gradient is the margin's times
1 - p_label, so a sure image counts for little. Steps, batches of 16 and beta 10 were chosen without
test images, on InceptionV3; tests/sgd_steps.py measures the steps: 1,000 images of ILSVRC2012 shown
once, one run each; fooling rate (%) of 400 training images of the classifier, and of 200 other
natural images:

    steps, in xi             0.1      0.2 to 0.05   0.4 to 0.1   0.2 to 0.01
    InceptionV3, 128 px      36, 48   38, 51        29, 43       42, 55
    VGG16, 96 px             56, 52   58, 57        66, 61       56, 54
    ResNet50, generated *    15, 17   16, 17        15, 17       15, 17
    InceptionV3, cross-entropy, 0.2 to 0.05: 29, 43
    InceptionV3, 0.2 to 0.01, batches of 8: 30, 46; of 32: 31, 44; beta 2: 31, 49
    * the demo's classifier, 280 of its images

From 640 ISIC2018 images the losses are alike: margin 86, cross-entropy 88 (steps 0.2 to 0.05).
"""

import numpy as np

from utils.images.norms import norm, project

FIRST_STEP, LAST_STEP = 0.2, 0.01  # as shares of xi


def stochastic_gradient(showing, gradient, p, xi, batch_size, step_size=None):
    """Run Algorithm 2, as a generator; the result is showing.state.v.

    showing, p, xi: as of uap.universal_perturbation; the events too, one Shown for each minibatch.
    gradient: function (x, label) -> (f, g), of a minibatch x (n, h, w, c) and label (n,): logits
        (n, K), and g (h, w, c), which points where the loss grows: to leave the labels, or to
        reach them where there is a target; see graph.AttackGraph.
    step_size: length of each step in the p-norm, model-input units, the same throughout. None:
        it falls in a straight line from FIRST_STEP to LAST_STEP times xi over all passes.
    """
    state = showing.state
    while showing.goes_on():
        n = len(state.clean)
        for places, indices, x in showing.blocks(showing.order(), state.position, batch_size):
            label = showing.labels(indices)
            f, g = gradient(x + state.v, label)
            begin = int(places[0]) // batch_size * batch_size
            done = (state.pass_number * n + begin) / (showing.passes * n)
            length = step_size or xi * (FIRST_STEP + (LAST_STEP - FIRST_STEP) * done)
            state.v = project(state.v + steepest(g, p, length), p, xi)
            state.position = int(places[-1]) + 1
            predicted = f.argmax(axis=1)
            paths = [[] if fooled else [int(k)]
                     for fooled, k in zip(showing.fools(predicted, indices), label)]
            yield showing.show(indices, predicted, paths, True)
        yield from showing.end_pass()


def steepest(g, p, length):
    """The step of this p-norm that climbs g fastest: along its signs (p = inf), or along it (2)."""
    if p == np.inf:
        return (length * np.sign(g)).astype(np.float32)
    size = norm(g, 2)
    return (g * (length / size if size else 0)).astype(np.float32)
