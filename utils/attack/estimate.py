"""How long a run of make_uap.py will take on this machine, measured on its first images."""

import os
import time
import types

from utils.attack.state import PassDone, State


def print_estimate(args, info, n, loop):
    """Print the seconds of an image, and the hours of the run and of the table's for this model.

    n: images of the run. loop: function (run) -> events of an attack's loop, which asks of a run
    its `state`, `broken`, and `discard`.
    """
    few = min(n, 4 if args.attack == "deepfool" else 32)  # half a minute of VGG16 at 299 x 299
    shape = info["image_size"], info["image_size"], 3
    state = State(shape, 1)  # the first run of anything prepares it
    passes = (event for event in loop(types.SimpleNamespace(
        state=state, broken={}, discard=lambda: None)) if isinstance(event, PassDone))
    next(passes)
    vars(state).update(vars(State(shape, few)))
    began = time.perf_counter()
    next(passes)
    seconds = (time.perf_counter() - began) / few
    print("{:.3g} seconds an image ({} of them were measured; those that the UAP fools already, "
          "more and more, cost less)".format(seconds, few))

    def hours(images):
        return "{:,.1f} hours".format(seconds * images * args.passes / 3600)

    print("this run, {:,} images, {} times: {}".format(n, args.passes, hours(n)))
    if args.source != info["image_folder"].split(os.sep)[0]:
        train = info["split"]["train"]["images"]
        print("this model's column of the table, two natural sources of {:,} images and {:,} "
              "training images: {}".format(n, train, hours(2 * n + train)))
