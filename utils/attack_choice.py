"""From the arguments of make_uap.py to the loop that they ask for."""

ATTACKS = ("deepfool", "fgsm", "sgd", "gd-uap")
MAX_ITERATIONS = 10  # of DeepFool for one image inside the loop, as in its authors' code


def new_state(args, shape, n, xi, grey):
    """Where the attack begins, for n images. shape: of v. grey: whether v has to be."""
    from utils.attack.gd_uap import Climb
    from utils.attack.norms import random_of_norm
    from utils.attack.state import State

    if args.attack == "gd-uap":
        return Climb(random_of_norm(shape, args.norm, xi, args.seed, grey))
    return State(shape, n)


def chosen_loop(args, model, grey, state, read, xi, target):
    """The events of the attack on a Keras model; the other arguments are those of the loops."""
    from utils.attack.gd_uap import data_free
    from utils.attack.graph import Activations, AttackGraph
    from utils.attack.sgd import stochastic_gradient
    from utils.attack.uap import universal_perturbation

    if args.attack == "gd-uap":
        return data_free(state, Activations(model, grey).gradient, args.norm, xi)
    graph = AttackGraph(model, grey)
    options = dict(p=args.norm, xi=xi, passes=args.passes, seed=args.seed, target=target,
                   goal=args.target_fooling_rate)
    if args.attack == "sgd":
        gradient = (graph.minibatch_gradient_to_leave if target is None
                    else graph.minibatch_gradient_to_reach)
        return stochastic_gradient(state, read, graph.logits, gradient, batch_size=args.batch_size,
                                   step_size=args.step_size, **options)
    return universal_perturbation(state, read, graph.logits, _step(args, graph, target), **options)


def _step(args, graph, target):
    """The step for one image: function (x, label) -> Step, where label is the target if any."""
    from utils.attack.deepfool import deepfool, targeted_deepfool
    from utils.attack.fgsm import STEP_SIZE, fgsm

    if args.attack == "fgsm":
        gradient = graph.loss_gradient_to_leave if target is None else graph.loss_gradient_to_reach
        return lambda x, label: fgsm(x, gradient, label, args.step_size or STEP_SIZE)
    attack, gradients = ((deepfool, graph.boundary_gradients_to_leave) if target is None else
                         (targeted_deepfool, graph.boundary_gradient_to_reach))
    return lambda x, label: attack(x, gradients, label, max_iter=MAX_ITERATIONS)
