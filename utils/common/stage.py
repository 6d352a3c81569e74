"""One way to run a stage of the study: identity, lock, "finished?", continue, checkpoint, publish.

A stage is one run of one command that leaves a result: a training, a UAP, a prepared data set.

    stage = ResumableStage(...)            # what makes this run this run, and where its files go
    if not stage.lock_unless_finished():   # False: finished; True: it is ours until we end
        return
    checkpoint = stage.last_checkpoint()   # where an interrupted run continues, or None
    ...                                    # the work, with stage.save_checkpoint(...) now and then

A stage whose result is one folder collects it in stage.work; stage.publish(stage.work) puts it into
its place at the end. One whose result is files of their own, as a training's, writes each of them
whole in its place, and then calls stage.remove_checkpoint().
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


class Stage:
    """A stage whose result has one place; subclasses say when it is finished.

    place: path of the folder that the finished stage leaves, or with which the names of its files
    begin. work: its work_folder().
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.work = work_folder(place)

    def is_finished(self) -> bool:
        """Tell whether nothing is left to do. Raises UserError when something is in the way."""
        raise NotImplementedError

    def lock_unless_finished(self) -> bool:
        """Lock the stage until this process ends, unless it is finished.

        Returns True when there is something to do: this process then holds the lock, and no other
        one works on the stage meanwhile. Returns False when the stage is finished. That is looked
        at without a lock, and once more under the lock, for another process may have finished the
        stage in between.
        Raises UserError when another process holds the lock, or when something is in the way.
        """
        if self.is_finished():
            return False
        if os.path.islink(self.work):
            raise UserError(f"{self.work}: is a symbolic link, which is not followed where "
                            "something is written; remove it")
        lock_until_exit(*os.path.split(self.place))
        return not self.is_finished()

    def publish(self, finished: str) -> None:
        """Put the folder `finished` in the place of this stage, where nothing earlier stays.

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


class ResumableStage(Stage):
    """A stage that saves checkpoints, and whose finished result says of which run it is.

    record: the JSON file of the finished result, whose field `identity` is that of its run.
    product: the file that the stage is run for. checkpoint: the file of an interrupted run.
    identity: dict of what makes this run this run: choices, and hashes of what it reads.
    extendable: the choices of the identity that may differ when an interrupted run is continued.
    restart: whether to begin anew, whatever is there.
    """

    def __init__(self, place: str, record: str, product: str, checkpoint: str,
                 identity: Dict[str, Any], restart: bool, extendable: Sequence[str] = ()) -> None:
        super().__init__(place)
        self.record, self.product, self.checkpoint = record, product, checkpoint
        self.identity, self.restart = identity, restart
        self._identity_of_checkpoint = dict(identity, **dict.fromkeys(extendable))

    def is_finished(self) -> bool:
        """Tell whether the result of this very run is there, and nothing is left to do.

        Returns True when the record and the product exist, and the record's identity is this run's.
        Returns False when one of the two is missing, and while a checkpoint is to be continued.
        Returns False with `restart`, too, even for a finished stage, since that is to be made anew.
        Raises UserError, naming what differs, when the record is of a run of another identity:
        that result must not be overwritten.
        """
        if self.restart or os.path.exists(self.checkpoint):
            return False
        if not (os.path.exists(self.record) and os.path.exists(self.product)):
            return False
        record = read_json(self.record, fields(identity=OBJECT), "--restart makes it anew")
        _require_same(self.record, record["identity"], self.identity, kind_of_run="a finished run")
        return True

    def last_checkpoint(self) -> Optional[Checkpoint]:
        """Read where the interrupted run continues.

        Returns None where no run was interrupted, and with `restart`.
        Raises UserError, naming what differs, when the checkpoint is of a run of another identity.
        """
        checkpoint = None if self.restart else load_checkpoint(self.checkpoint)
        if checkpoint is not None:
            _require_same(self.checkpoint, checkpoint.identity, self._identity_of_checkpoint,
                          kind_of_run="an interrupted run")
        return checkpoint

    def require_fit(self, checkpoint: Checkpoint, progress: Schema,
                    arrays: Sequence[ArrayKind]) -> None:
        """Raise UserError unless `checkpoint` holds what this run needs to be continued.

        progress: the schema of its progress. arrays: what its arrays must be.
        """
        require_fit(checkpoint, self.checkpoint, progress, arrays=arrays)

    def remove_checkpoint(self) -> None:
        """Remove the checkpoint of a run whose result is there."""
        os.remove(self.checkpoint)

    def save_checkpoint(self, progress: Dict[str, Any], arrays: List[np.ndarray]) -> None:
        """Save all that the same command needs to continue this run. Raises UserError."""
        save_checkpoint(self.checkpoint,
                        Checkpoint(self._identity_of_checkpoint, progress, arrays))


def _require_same(path: str, recorded: Dict[str, Any], asked_for: Dict[str, Any],
                  kind_of_run: str) -> None:
    """Raise UserError, naming each choice that differs, unless two identities are the same.

    path: the file that holds the identity `recorded`. asked_for: the identity of this run.
    kind_of_run: what the file is of, for the message.
    """
    asked_for = json.loads(json.dumps(asked_for))  # as it would be recorded: tuples become lists
    differing = []
    for key in sorted(set(asked_for) | set(recorded)):
        if asked_for.get(key) != recorded.get(key):
            differing.append(f"{key} {recorded.get(key)} then, {asked_for.get(key)} now")
    if differing:
        raise UserError(f"{path}: {kind_of_run} with other arguments: {', '.join(differing)}; give "
                        "them again, or another --name, or --restart to begin anew")
