"""The folder of one run of make_uap.py: log, snapshots and checkpoint, until it is whole."""

import csv
import os
import shutil
import time
from typing import Any, Dict

from utils.attack.perturbation_file import save_perturbation
from utils.attack.state import PassDone, Shown
from utils.common.step_run import ResumableStep, work_folder
from utils.common.whole_files import write_text, writing
from utils.images.norms import norm

# kept: whether the step went into v, yes or no; empty where v fooled the image already
LOG_COLUMNS = ("visit", "pass", "file", "clean", "under_v", "iterations", "path", "kept", "norm")


def snapshot_counts(n):
    """1, 2, 5 times powers of ten, from 10 up to n."""
    return {m * 10 ** e for e in range(1, 10) for m in (1, 2, 5) if m * 10 ** e <= n}


def uap_step(folder: str, identity: Dict[str, Any], restart: bool) -> ResumableStep:
    """The step whose result will be `folder`; its checkpoint is among the unfinished files."""
    return ResumableStep(
        place=folder, record=os.path.join(folder, "run.json"),
        product=os.path.join(folder, "uap.npy"),
        checkpoint=os.path.join(work_folder(folder), "checkpoint.npz"),
        identity=identity, restart=restart)


class UapRun:
    """step: says where the finished run will be; until then its files are beside it, in step.work.

    files: names of the n images. state: of the UAP loop, to
    begin with. p: the norm to log. checkpoint: to continue from, or None. snapshots: dict from the
    name of each to the images shown and the seconds of computing until then. broken: dict from the
    name of an unreadable file to the reason.
    """

    def __init__(self, step, files, class_names, state, p, checkpoint):
        self.step, self.state = step, state
        self._files, self._class_names, self._p = files, class_names, p
        self._log_path = os.path.join(step.work, "log.csv")
        self._snapshot_counts = snapshot_counts(len(files))
        self.broken, self.snapshots, self._seconds = {}, {}, 0.0
        if checkpoint is None:
            shutil.rmtree(step.work, ignore_errors=True)
            write_text(self._log_path, ",".join(LOG_COLUMNS) + "\n")
        else:
            progress = checkpoint.progress
            self.state = state.from_checkpoint(progress["state"], checkpoint.arrays)
            self.broken, self._seconds = progress["broken"], progress["seconds"]
            self.snapshots = progress["snapshots"]
            os.truncate(self._log_path, progress["log_bytes"])
        self._began = time.time()
        self._log = open(self._log_path, "a", buffering=1, encoding="utf-8",
                         errors="surrogateescape", newline="")

    def seconds(self):
        """Time spent so far, over all starts."""
        return self._seconds + time.time() - self._began

    def record(self, event):
        """Write what the UAP loop yielded: a row for each visit, v where a snapshot is due."""
        if isinstance(event, PassDone):
            self._save_snapshot("pass_{:03d}".format(event.number), self.state.visits)
        if not isinstance(event, Shown):
            return
        size, names = "{:.6g}".format(norm(self.state.v, self._p)), self._class_names
        for visit in event.visits:
            kept = ("yes" if visit.kept else "no") if visit.path else ""
            with writing(self._log_path):
                csv.writer(self._log, lineterminator="\n").writerow((
                    visit.visit, visit.pass_number, self._files[visit.index], names[visit.clean],
                    names[visit.predicted], len(visit.path),
                    " ".join(names[label] for label in visit.path), kept, size))
            if visit.visit in self._snapshot_counts:  # a minibatch: v of its last image
                shown = event.visits[-1].visit if visit.kept else visit.visit
                self._save_snapshot("images_{:07d}".format(shown), shown)

    def _save_snapshot(self, name, shown):
        save_perturbation(os.path.join(self.step.work, "snapshots", name + ".npy"), self.state.v)
        self.snapshots[name] = {"images": shown, "seconds": round(self.seconds(), 1)}

    def save_checkpoint(self):
        """Save all that the same command needs to continue this run."""
        with writing(self._log_path):
            self._log.flush()
            os.fsync(self._log.fileno())
        values, arrays = self.state.as_checkpoint()
        self.step.save_checkpoint({
            "state": values, "broken": self.broken, "snapshots": self.snapshots,
            "seconds": self.seconds(), "log_bytes": os.path.getsize(self._log_path)}, arrays)

    def discard(self):
        """Remove the files of this start."""
        self._log.close()
        shutil.rmtree(self.step.work)

    def publish(self):
        """Put the finished files in the place of those of an earlier run, if there was one."""
        self._log.close()
        self.step.publish(self.step.work)
        os.remove(os.path.join(self.step.place, os.path.basename(self.step.checkpoint)))
