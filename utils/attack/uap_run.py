"""The folder of one run of make_uap.py: log, snapshots and checkpoint, until it is whole."""

import csv
import os
import shutil
import time
from typing import Any, Dict, Generic, Optional, Sequence, Set

from utils.attack.events import Event, ImagesShown, PassDone, Visit
from utils.attack.perturbation_file import save_perturbation
from utils.attack.state import State, checkpoint_kinds, from_checkpoint, to_checkpoint
from utils.common.checkpoint import Checkpoint
from utils.common.errors import UserError
from utils.common.json_files import NATURAL, NUMBER, Schema, fields
from utils.common.stage import ResumableStage, work_folder
from utils.common.whole_files import not_following, write_text, writing
from utils.images.norms import norm

# kept: whether the step went into v, yes or no; empty where v fooled the image already
LOG_COLUMNS = ("visit", "pass", "file", "clean", "under_v", "iterations", "path", "kept", "norm")


def progress_schema(state: Schema) -> Schema:
    """Return the schema of the progress in a checkpoint. state: that of its state."""
    return fields(
        state=state, seconds=NUMBER, log_bytes=NATURAL,
        broken={"type": "object", "additionalProperties": {"type": "string"}},
        snapshots={"type": "object",
                   "additionalProperties": fields(images=NATURAL, seconds=NUMBER)})


def snapshot_counts(number_of_images: int) -> Set[int]:
    """Return the numbers of images shown after which a snapshot is due.

    They are 1, 2 and 5 times powers of ten, from 10 up to the number of images.
    """
    counts: Set[int] = set()
    power = 10
    while power <= number_of_images:
        counts.update(count for count in (power, 2 * power, 5 * power)
                      if count <= number_of_images)
        power *= 10
    return counts


def uap_stage(folder: str, identity: Dict[str, Any], restart: bool) -> ResumableStage:
    """Return the stage whose result will be `folder`.

    Its checkpoint is among the unfinished files. identity: of the run. restart: begin anew.
    """
    return ResumableStage(
        place=folder, record=os.path.join(folder, "run.json"),
        product=os.path.join(folder, "uap.npy"),
        checkpoint=os.path.join(work_folder(folder), "checkpoint.npz"),
        identity=identity, restart=restart)


class RunRecorder(Generic[State]):
    """Writes down what an attack does, so that the same command continues it.

    stage: says where the finished run will be; until then its files are beside it, in stage.work.
    files: names of the n images. class_names: of the classifier, by index. beginning: the state in
    which the attack begins. p: the norm to log. checkpoint: to continue from, None to begin.

    state: of the attack, from now on. broken: from the name of an unreadable file to the reason.
    snapshots: from the name of each to the images shown, the seconds of computing and the steps
    until then, and the norm of v.
    Raises UserError where the checkpoint is not of such a run.
    """

    def __init__(self, stage: ResumableStage, files: Sequence[str], class_names: Sequence[str],
                 beginning: State, p: float, checkpoint: Optional[Checkpoint]) -> None:
        self.stage = stage
        self._files, self._class_names, self._p = files, class_names, p
        self._log_path = os.path.join(stage.work, "log.csv")
        self._snapshot_counts = snapshot_counts(len(files))
        self.state = beginning
        self.broken: Dict[str, str] = {}
        self.snapshots: Dict[str, Dict[str, float]] = {}
        self._seconds_before = 0.0
        if checkpoint is None:
            shutil.rmtree(stage.work, ignore_errors=True)
            write_text(self._log_path, ",".join(LOG_COLUMNS) + "\n")
        else:
            self._continue_from(checkpoint)
        self._began = time.monotonic()
        self.norm_of_v = norm(self.state.v, p)
        with writing(self._log_path):
            self._log = open(self._log_path, "a", buffering=1, encoding="utf-8",
                             errors="surrogateescape", newline="", opener=not_following)
        if checkpoint is not None:
            self._log.truncate(checkpoint.progress["log_bytes"])

    def _continue_from(self, checkpoint: Checkpoint) -> None:
        state, arrays = checkpoint_kinds(self.state, len(self._class_names))
        self.stage.require_fit(checkpoint, progress_schema(state), arrays)
        progress = checkpoint.progress
        self.state = from_checkpoint(self.state, progress["state"], checkpoint.arrays)
        self.broken, self.snapshots = progress["broken"], progress["snapshots"]
        self._seconds_before = progress["seconds"]
        size = os.path.getsize(self._log_path) if os.path.exists(self._log_path) else 0
        if size < progress["log_bytes"]:
            raise UserError(f"{self._log_path}: {size} bytes, expected {progress['log_bytes']} or "
                            "more as the checkpoint beside it says; give --restart to begin anew")

    def seconds(self) -> float:
        """Return the time spent so far, over all starts."""
        return self._seconds_before + time.monotonic() - self._began

    def record(self, event: Event) -> None:
        """Write what the attack did: a row for each image shown, and v where a snapshot is due."""
        if isinstance(event, PassDone):
            self._save_snapshot(f"pass_{event.number:03d}", self.state.visits)
        elif isinstance(event, ImagesShown):
            if event.visits[-1].kept:
                self.norm_of_v = norm(self.state.v, self._p)
            for visit in event.visits:
                self._write_row(visit)
            if any(visit.visit in self._snapshot_counts for visit in event.visits):
                shown = event.visits[-1].visit  # of a minibatch: v is that after its last image
                self._save_snapshot(f"images_{shown:07d}", shown)
        else:
            self.norm_of_v = norm(self.state.v, self._p)

    def _write_row(self, visit: Visit) -> None:
        kept = ""
        if visit.path:
            kept = "yes" if visit.kept else "no"
        row = (visit.visit, visit.pass_number, self._files[visit.image_index],
               self._class_names[visit.clean], self._class_names[visit.predicted],
               len(visit.path), " ".join(self._class_names[label] for label in visit.path), kept,
               f"{self.norm_of_v:.6g}")
        with writing(self._log_path):
            csv.writer(self._log, lineterminator="\n").writerow(row)

    def _save_snapshot(self, name: str, shown: int) -> None:
        save_perturbation(os.path.join(self.stage.work, "snapshots", name + ".npy"), self.state.v)
        self.snapshots[name] = {
            "images": shown, "seconds": round(self.seconds(), 1), "norm": self.norm_of_v,
            "steps_made": self.state.steps, "steps_kept": self.state.updates}

    def save_checkpoint(self) -> None:
        """Save all that the same command needs to continue this run."""
        with writing(self._log_path):
            self._log.flush()
            os.fsync(self._log.fileno())
        values, arrays = to_checkpoint(self.state)
        self.stage.save_checkpoint({
            "state": values, "broken": self.broken, "snapshots": self.snapshots,
            "seconds": self.seconds(), "log_bytes": os.path.getsize(self._log_path)}, arrays)

    def discard(self) -> None:
        """Remove the files of this start."""
        self._log.close()
        shutil.rmtree(self.stage.work)

    def publish(self) -> None:
        """Put the finished files in the place of those of an earlier run, if there was one."""
        self._log.close()
        self.stage.publish(self.stage.work)
        os.remove(os.path.join(self.stage.place, os.path.basename(self.stage.checkpoint)))
