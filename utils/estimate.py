"""How long a run of make_uap.py will take on this machine, measured on its first images."""

import os
import time
import types

from utils.attack.state import PassDone, State

FEW = {"deepfool": 4}  # images measured: half a minute of VGG16 at 299 x 299, or less
FEW_OF_OTHERS = 32     # of an attack whose step is one gradient


def print_estimate(args, info, n, loop):
    """Print the seconds of an image, and the hours of the run and of the table's for this model.

    n: images of the run. loop: function (run) -> events of an attack's loop, which asks of a run
    its `state`, `broken`, and `discard`.
    """
    few = min(n, FEW.get(args.attack, FEW_OF_OTHERS))
    seconds = _seconds_of_a_pass(loop, (info["image_size"], info["image_size"], 3), few) / few
    print("{:.3g} seconds an image ({} of them were measured; those that the UAP fools already, "
          "more and more, cost less)".format(seconds, few))

    def hours(images):
        return "{:,.1f} hours".format(seconds * images * args.passes / 3600)

    print("this run, {:,} images, {} times: {}".format(n, args.passes, hours(n)))
    if args.source != info["image_folder"].split(os.sep)[0]:
        train = info["split"]["train"]["images"]
        print("this model's column of the table, two natural sources of {:,} images and {:,} "
              "training images: {}".format(n, train, hours(2 * n + train)))


def _seconds_of_a_pass(loop, shape, n):
    """Over n images, by a loop that has seen one before: the first run of anything prepares it."""
    state = State(shape, 1)
    run = types.SimpleNamespace(state=state, broken={}, discard=lambda: None)
    passes = (event for event in loop(run) if isinstance(event, PassDone))
    next(passes)
    vars(state).update(vars(State(shape, n)))
    began = time.perf_counter()
    next(passes)
    return time.perf_counter() - began
