"""One way to run a step: identity, lock, "finished?", continue, checkpoint, publish.

    step = ResumableStep(...)             what makes this run this run, and where its files will be
    if not step.begins():                 it is finished already; else no other process works on it
        return
    checkpoint = step.last_checkpoint()   where an interrupted run continues
    ...                                   the work, with step.save_checkpoint(...) now and then
    step.publish(step.work)               whole files take their place
"""

import json
import os
import shutil
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from utils.common.checkpoint import (
    ArrayKind,
    Checkpoint,
    load_checkpoint,
    require_fit,
    save_checkpoint,
)
from utils.common.errors import UserError
from utils.common.json_files import OBJECT, Schema, fields, read_json
from utils.common.locks import lock_until_exit
from utils.common.whole_files import writing


def work_folder(place: str) -> str:
    """Return the hidden folder beside `place` for what is not finished."""
    parent, name = os.path.split(place)
    return os.path.join(parent, f".{name}.partial")


class Step:
    """A step whose result has one place; subclasses say when it is finished.

    place: path of the folder that the finished step leaves, or with which the names of its files
    begin. work: its work_folder().
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.work = work_folder(place)

    def is_finished(self) -> bool:
        """Return whether nothing is left to do. Raises UserError when something is in the way."""
        raise NotImplementedError

    def begins(self) -> bool:
        """Return whether there is something to do; then no other process does it meanwhile.

        A finished step is looked at without a lock. Once the lock is held it is asked again:
        another process may have finished the step in between.
        Raises UserError when another process is at it, or when something is in the way.
        """
        if self.is_finished():
            return False
        if os.path.islink(self.work):
            raise UserError(f"{self.work}: is a symbolic link, which is not followed where "
                            "something is written; remove it")
        lock_until_exit(*os.path.split(self.place))
        return not self.is_finished()

    def publish(self, finished: str) -> None:
        """Put the folder `finished` in the place of this step, where nothing earlier stays.

        A process killed in between leaves `finished` whole: call it again. Both are on one disk.
        Raises UserError.
        """
        earlier = finished + ".earlier"
        shutil.rmtree(earlier, ignore_errors=True)
        with writing(self.place):
            if os.path.exists(self.place):
                os.rename(self.place, earlier)
            os.rename(finished, self.place)
        shutil.rmtree(earlier, ignore_errors=True)


class ResumableStep(Step):
    """A step that saves checkpoints, and whose finished result says of which run it is.

    record: the JSON file of the finished result, whose field `identity` is that of its run.
    product: the file that the step is run for. checkpoint: the file of an interrupted run.
    identity: dict of what makes this run this run: choices, and hashes of what it reads.
    extendable: the choices of the identity that may differ when an interrupted run is continued.
    restart: begin anew, whatever is there.
    """

    def __init__(self, place: str, record: str, product: str, checkpoint: str,
                 identity: Dict[str, Any], restart: bool, extendable: Sequence[str] = ()) -> None:
        super().__init__(place)
        self.record, self.product, self.checkpoint = record, product, checkpoint
        self.identity, self.restart = identity, restart
        self._identity_of_checkpoint = dict(identity, **dict.fromkeys(extendable))

    def is_finished(self) -> bool:
        """Return whether the record is of a run of this identity, and its product there.

        Never with `restart`, nor while an interrupted run is to be continued. Raises UserError,
        naming what differs, when the record is of another run, which must not be overwritten.
        """
        if self.restart or os.path.exists(self.checkpoint):
            return False
        if not (os.path.exists(self.record) and os.path.exists(self.product)):
            return False
        record = read_json(self.record, fields(identity=OBJECT), "--restart makes it anew")
        _require_same(self.record, record["identity"], self.identity, "a finished run")
        return True

    def last_checkpoint(self) -> Optional[Checkpoint]:
        """Read where the interrupted run continues; None where there is none, or with `restart`.

        Raises UserError, naming what differs, when it is of a run of another identity.
        """
        checkpoint = None if self.restart else load_checkpoint(self.checkpoint)
        if checkpoint is not None:
            _require_same(self.checkpoint, checkpoint.identity, self._identity_of_checkpoint,
                          "an interrupted run")
        return checkpoint

    def require_fit(self, checkpoint: Checkpoint, progress: Schema,
                    arrays: Sequence[ArrayKind]) -> None:
        """Raise UserError unless `checkpoint` holds what this run needs to be continued.

        progress: the schema of its progress. arrays: what its arrays must be.
        """
        require_fit(checkpoint, self.checkpoint, progress, arrays)

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint of a run whose result is there."""
        os.remove(self.checkpoint)

    def save_checkpoint(self, progress: Dict[str, Any], arrays: List[np.ndarray]) -> None:
        """Save all that the same command needs to continue this run. Raises UserError."""
        save_checkpoint(self.checkpoint,
                        Checkpoint(self._identity_of_checkpoint, progress, arrays))


def _require_same(path, there, identity, what):
    here = json.loads(json.dumps(identity))
    differing = [f"{key} {there.get(key)} then, {here.get(key)} now"
                 for key in sorted(set(here) | set(there)) if here.get(key) != there.get(key)]
    if differing:
        raise UserError(f"{path}: {what} with other arguments: {', '.join(differing)}; give them "
                        "again, or another --name, or --restart to begin anew")
