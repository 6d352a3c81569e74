"""What an attack must remember from one image to the next, so that another run can continue it."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple, TypeVar

import numpy as np

from utils.common.checkpoint import ArrayKind
from utils.common.json_files import NATURAL, NUMBER, Schema, fields, or_null

BROKEN = -2   # in AttackState.clean: the image could not be read, and is left out from then on
UNKNOWN = -1  # in AttackState.clean: not predicted yet


@dataclass(eq=False)
class AttackState:
    """The state of an attack that is shown images.

    v: the perturbation, float32, (h, w, c), model-input units.
    clean: int, (n,), the class predicted for each clean image, or BROKEN or UNKNOWN.
    passes_completed: the number of passes that are over.
    position: where the current pass goes on, in its order, from 0.
    visits, steps, updates: how many images were shown, how many steps were made, and how many of
        these went into v, over all passes so far.
    next_batch_size: how many images are predicted next in one batch; see utils.attack.look_ahead.
    classes_ahead: the classes that were predicted in this way, under the present v, for the images
        that come next.
    images_checked: how far the images were predicted again after the current pass, for the fooling
        rate: an index, before which all are done.
    images_counted, images_fooled: how many of those count for the rate, and how many of these are
        successes of the attack; see utils.common.success.
    rates: the fooling rate, or the targeted success rate, after each pass after which it was asked
        for; None where no image counts.
    """

    v: np.ndarray
    clean: np.ndarray
    passes_completed: int = 0
    position: int = 0
    visits: int = 0
    steps: int = 0
    updates: int = 0
    next_batch_size: int = 1
    classes_ahead: List[int] = field(default_factory=list)
    images_checked: int = 0
    images_counted: int = 0
    images_fooled: int = 0
    rates: List[Optional[float]] = field(default_factory=list)


State = TypeVar("State", bound=AttackState)

# The schema of a value of a state in a checkpoint, by the type that it has at the beginning.
SCHEMAS: Dict[type, Schema] = {
    int: NATURAL, float: NUMBER, bool: {"type": "boolean"},
    list: {"type": "array", "items": or_null(NUMBER)}}


def first_state(shape: Tuple[int, ...], number_of_images: int) -> AttackState:
    """Return the state in which Algorithm 1 begins: v is 0, and of no image is anything known.

    shape: of v, (h, w, c).
    """
    return AttackState(v=np.zeros(shape, np.float32),
                       clean=np.full(number_of_images, UNKNOWN, np.int64))


def to_checkpoint(state: AttackState) -> Tuple[Dict[str, Any], List[np.ndarray]]:
    """Take a state apart into JSON values and arrays, from which from_checkpoint makes it again."""
    values, arrays = {}, []
    for each in dataclasses.fields(state):
        value = getattr(state, each.name)
        if isinstance(value, np.ndarray):
            arrays.append(value)
        else:
            values[each.name] = value
    return values, arrays


def checkpoint_kinds(beginning: AttackState,
                     number_of_classes: int) -> Tuple[Schema, List[ArrayKind]]:
    """Tell what to_checkpoint makes of any state of the attack that begins with `beginning`.

    Returns the schema of the JSON values, and the kind of each array.
    """
    label = {"type": "integer", "minimum": 0, "maximum": number_of_classes - 1}
    schemas: Dict[str, Schema] = {}
    arrays = []
    for each in dataclasses.fields(beginning):
        value = getattr(beginning, each.name)
        if isinstance(value, np.ndarray):
            arrays.append(ArrayKind(value.shape, value.dtype.name))
            if each.name == "clean":
                arrays[-1] = arrays[-1]._replace(lowest=BROKEN, highest=number_of_classes - 1)
        elif each.name == "classes_ahead":
            schemas[each.name] = {"type": "array", "items": label}
        else:
            schemas[each.name] = SCHEMAS[type(value)]
    return fields(**schemas), arrays


def from_checkpoint(beginning: State, values: Dict[str, Any],
                    arrays: Sequence[np.ndarray]) -> State:
    """Put together a state that to_checkpoint took apart.

    beginning: the state in which the same attack begins. values, arrays: as checkpoint_kinds says.
    """
    changes, remaining = dict(values), list(arrays)
    for each in dataclasses.fields(beginning):
        if isinstance(getattr(beginning, each.name), np.ndarray):
            changes[each.name] = remaining.pop(0)
    return dataclasses.replace(beginning, **changes)
