"""How long a run of make_uap.py will take on this machine, measured on its first images."""

import os
import time
import types

from utils.attack.state import PassDone, State

FEW = {"deepfool": 4}  # images measured: half a minute of VGG16 at 299 x 299, or less
FEW_OF_OTHERS = 32     # of an attack whose step is one gradient


def print_estimate(args, model, n, loop):
    """Print the seconds of an image, and the hours of the run and of the table's for this model.

    n: images of the run. loop: function (run) -> events of the UAP loop, which asks of a run its
    `state`, `broken`, and `discard`.
    """
    few = min(n, FEW.get(args.attack, FEW_OF_OTHERS))
    shape = (model["image_size"], model["image_size"], 3)
    _seconds_of_a_pass(loop, State(shape, 1))  # the first run of anything prepares it
    seconds = _seconds_of_a_pass(loop, State(shape, few)) / few
    print("{:.3g} seconds an image ({} of them were measured; those that the UAP fools already, "
          "more and more, cost less)".format(seconds, few))

    def hours(images):
        return "{:,.1f} hours".format(seconds * images * args.passes / 3600)

    print("this run, {:,} images, {} times: {}".format(n, args.passes, hours(n)))
    if args.source != model["image_folder"].split(os.sep)[0]:
        train = model["split"]["train"]["images"]
        print("this model's column of the table, two natural sources of {:,} images and {:,} "
              "training images: {}".format(n, train, hours(2 * n + train)))


def _seconds_of_a_pass(loop, state):
    began = time.perf_counter()
    for event in loop(types.SimpleNamespace(state=state, broken={}, discard=lambda: None)):
        if isinstance(event, PassDone):
            break
    return time.perf_counter() - began
