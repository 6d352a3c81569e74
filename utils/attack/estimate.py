"""How long a run of make_uap.py will take on this machine, measured on its first images."""

import time
from typing import Callable, Iterator, Optional, Tuple

from utils.attack.events import Event, PassDone
from utils.attack.settings import AttackSettings
from utils.attack.state import AttackState, first_state

# From a state to the events of an attack that goes on from there.
StartAttack = Callable[[AttackState], Iterator[Event]]


def print_estimate(settings: AttackSettings, start_attack: StartAttack,
                   shape: Tuple[int, int, int], number_of_images: int,
                   training_images: Optional[int]) -> None:
    """Print the seconds that an image takes, and the hours of this run and of the model's column.

    shape: of v, (h, w, c). number_of_images: how many the run shows in a pass. training_images: how
    many the model was trained on; None where the run itself is made from these, 0 where nobody
    knows: there is no column then.
    """
    measured = 4 if settings.attack == "deepfool" else 32  # half a minute of VGG16 at 299 x 299
    measured = min(measured, number_of_images)
    run_first_pass(start_attack(first_state(shape, 1)))  # the first run of anything prepares it
    began = time.perf_counter()
    run_first_pass(start_attack(first_state(shape, measured)))
    seconds = (time.perf_counter() - began) / measured
    print(f"{seconds:.3g} seconds an image ({measured} of them were measured; those that the UAP "
          "fools already, more and more, cost less)")

    def hours(images: int) -> str:
        return f"{seconds * images * settings.passes / 3600:,.1f} hours"

    print(f"this run, {number_of_images:,} images, {settings.passes} times: "
          f"{hours(number_of_images)}")
    if training_images:
        print(f"this model's column of the table, two natural sources of {number_of_images:,} "
              f"images and {training_images:,} training images: "
              f"{hours(2 * number_of_images + training_images)}")


def run_first_pass(events: Iterator[Event]) -> None:
    """Run an attack to the end of its first pass."""
    for event in events:
        if isinstance(event, PassDone):
            return
