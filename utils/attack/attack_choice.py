"""From the arguments of make_uap.py to the loop that they ask for."""

from utils.attack.deepfool import deepfool, targeted_deepfool
from utils.attack.fgsm import STEP_SIZE, fgsm
from utils.attack.gd_uap import Climb, data_free
from utils.attack.sgd import stochastic_gradient
from utils.attack.state import Showing, State
from utils.attack.uap import universal_perturbation
from utils.images.norms import random_of_norm

ATTACKS = ("deepfool", "fgsm", "sgd", "gd-uap")


def new_state(args, shape, n, xi, grey):
    """Where the attack begins, for n images. shape: of v. grey: whether v has to be."""
    if args.attack == "gd-uap":
        seed = [args.seed, 1]  # not the vector that evaluate.py takes for a control
        return Climb(random_of_norm(shape, args.norm, xi, seed, grey))
    return State(shape, n)


def chosen_loop(args, model, grey, state, read, xi, target):
    """The events of the attack on a Keras model; the other arguments are those of the loops."""
    from utils.attack.gradients.graph import AttackGraph, activation_energy  # imports TensorFlow

    if args.attack == "gd-uap":
        return data_free(state, activation_energy(model, grey), args.norm, xi)
    return loop_over_images(args, AttackGraph(model, grey), state, read, xi, target)


def loop_over_images(args, graph, state, read, xi, target):
    """The same for the attacks that take images. graph: an AttackGraph, or what answers like it."""
    showing = Showing(state, read, graph.logits, args.passes, args.seed, target,
                      args.target_fooling_rate)
    if target is None:
        attack, boundary, loss, minibatch = (
            deepfool, graph.boundary_gradients_to_leave, graph.loss_gradient_to_leave,
            graph.minibatch_gradient_to_leave)
    else:
        attack, boundary, loss, minibatch = (
            targeted_deepfool, graph.boundary_gradient_to_reach, graph.loss_gradient_to_reach,
            graph.minibatch_gradient_to_reach)
    if args.attack == "sgd":
        return stochastic_gradient(showing, minibatch, args.norm, xi, args.batch_size,
                                   args.step_size)
    if args.attack == "fgsm":
        def step(x, label):
            return fgsm(x, loss, label, args.step_size or STEP_SIZE)
    else:
        def step(x, label):
            return attack(x, boundary, label)
    return universal_perturbation(showing, step, args.norm, xi)
