"""What an attack tells its caller while it runs: one event after each thing it did.

After each event the state is complete: another run that continues from it ends with the same bytes.
"""

from typing import List, NamedTuple, Optional, Sequence, Union

from utils.attack.state import AttackState


class Visit(NamedTuple):
    """One image was shown.

    visit: the number of this image among all that were shown, over all passes, from 1.
    pass_number: the number of the pass in which it was shown, from 1.
    image_index: the index of the image. clean: the class of x. predicted: the class of x + v before
    the step. path: as in step.Step; it is empty where v fooled the image already. kept: whether the
    step went into v. A minibatch has one step for all its images, and that is always kept.
    """

    visit: int
    pass_number: int
    image_index: int
    clean: int
    predicted: int
    path: List[int]
    kept: bool


class ImagesShown(NamedTuple):
    """These images were shown; if v was changed, it was after the last of them."""

    visits: List[Visit]


class ImagesChecked(NamedTuple):
    """More images were predicted for the fooling rate after a pass.

    images: how many of all they are so far.
    """

    images: int


class PassDone(NamedTuple):
    """A pass is over.

    number: of the pass, from 1. rate: the fooling rate or targeted success rate on the images after
    it, None where it was not asked for or no image counts.
    """

    number: int
    rate: Optional[float]


class Iterated(NamedTuple):
    """An attack that is shown no images has made an iteration."""


Event = Union[ImagesShown, ImagesChecked, PassDone, Iterated]


def count_shown(state: AttackState, positions: Sequence[int], indices: Sequence[int],
                predicted: Sequence[int], paths: Sequence[List[int]], kept: bool) -> ImagesShown:
    """Count images as shown, and the step as made if there is one; return the event to yield.

    positions: of the images in the order of the pass. indices: of the images. predicted, paths: one
    for each image, as in Visit. kept: as in Visit, the same for all of them.
    """
    visits = []
    for index, label, path in zip(indices, predicted, paths):
        state.visits += 1
        visits.append(Visit(
            visit=state.visits, pass_number=state.passes_completed + 1, image_index=int(index),
            clean=int(state.clean[index]), predicted=int(label), path=path, kept=kept))
    if kept or any(paths):
        state.steps += 1
    if kept:
        state.updates += 1
    state.position = int(positions[-1]) + 1
    return ImagesShown(visits)
