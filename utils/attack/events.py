"""What an attack tells its caller while it runs: one event after each thing it did.

After each event the state is complete: another run continues from it, and ends with the same bytes.
"""

from typing import List, NamedTuple, Optional, Sequence, Union

from utils.attack.state import AttackState


class Visit(NamedTuple):
    """One image was shown.

    visit: the count of images shown, from 1, over all passes. pass_number: from 1. image_index:
    of the image. clean: the class of x. predicted: the class of x + v before the step. path: as in
    step.Step; empty where v fooled the image already. kept: whether its step went into v; in a
    minibatch there is one step for all images, which always does.
    """

    visit: int
    pass_number: int
    image_index: int
    clean: int
    predicted: int
    path: List[int]
    kept: bool


class ImagesShown(NamedTuple):
    """These images were shown, and v was changed after the last of them, if at all."""

    visits: List[Visit]


class ImagesChecked(NamedTuple):
    """So many of all images were predicted, so far, for the fooling rate after a pass."""

    images: int


class PassDone(NamedTuple):
    """A pass is over.

    number: from 1. rate: the fooling rate or targeted success rate on the images after it, None
    where it was not asked for or no image counts.
    """

    number: int
    rate: Optional[float]


class Iterated(NamedTuple):
    """An attack that is shown no images has made an iteration."""


Event = Union[ImagesShown, ImagesChecked, PassDone, Iterated]


def note_shown(state: AttackState, places: Sequence[int], indices: Sequence[int],
               predicted: Sequence[int], paths: Sequence[List[int]], kept: bool) -> ImagesShown:
    """Count images as shown, and the step as made if there is one; return the event to tell.

    places: in the order of the pass. indices: of the images. predicted, paths: of each, and kept:
    of all, as in Visit.
    """
    visits = []
    for index, label, path in zip(indices, predicted, paths):
        state.visits += 1
        visits.append(Visit(
            visit=state.visits, pass_number=state.pass_number + 1, image_index=int(index),
            clean=int(state.clean[index]), predicted=int(label), path=path, kept=kept))
    if kept or any(paths):
        state.steps += 1
    if kept:
        state.updates += 1
    state.position = int(places[-1]) + 1
    return ImagesShown(visits)
