"""From the arguments of make_uap.py to the loop that they ask for."""

ATTACKS = ("deepfool", "fgsm", "sgd")
MAX_ITERATIONS = 10  # of DeepFool for one image inside the loop, as in its authors' code


def chosen_loop(args, graph, state, read, xi, target):
    """The events of the attack `args.attack`, with the other arguments. graph: AttackGraph."""
    from utils.attack.sgd import stochastic_gradient
    from utils.attack.uap import universal_perturbation

    options = dict(p=args.norm, xi=xi, passes=args.passes, seed=args.seed, target=target,
                   goal=args.target_fooling_rate)
    if args.attack == "sgd":
        return stochastic_gradient(state, read, graph.logits, graph.minibatch_gradient,
                                   batch_size=args.batch_size, step_size=args.step_size, **options)
    return universal_perturbation(state, read, graph.logits, _step(args, graph, target), **options)


def _step(args, graph, target):
    """The step for one image: function (x, label) -> Step, where label is the target if any."""
    from utils.attack.deepfool import deepfool, targeted_deepfool
    from utils.attack.fgsm import STEP_SIZE, fgsm, targeted_fgsm

    if args.attack == "deepfool":
        attack, gradients, options = (
            (deepfool, graph.differences, {"max_iter": MAX_ITERATIONS}) if target is None else
            (targeted_deepfool, graph.difference, {"max_iter": MAX_ITERATIONS}))
    else:
        attack, gradients, options = (
            fgsm if target is None else targeted_fgsm, graph.margin_gradient,
            {"step_size": args.step_size or STEP_SIZE})
    return lambda x, label: attack(x, gradients, label, **options)
