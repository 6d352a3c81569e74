"""The folder of one run of make_uap.py: log, snapshots and checkpoint, until it is whole."""

import csv
import os
import shutil
import time

import numpy as np

from utils.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from utils.files import publish, replacing, write_text, writing
from utils.attack.norms import norm
from utils.attack.state import PassDone, Shown

LOG_BYTES = 120  # of a row of log.csv, about
# kept: whether the step went into v, yes or no; empty where v fooled the image already
LOG_COLUMNS = ("visit", "pass", "file", "clean", "under_v", "iterations", "path", "kept", "norm")


def snapshot_counts(n):
    """1, 2, 5 times powers of ten, from 10 up to n."""
    return {m * 10 ** e for e in range(1, 10) for m in (1, 2, 5) if m * 10 ** e <= n}


def disk_space(n, passes, size):
    """Bytes that the folder of a run over n images may need; size: height and width of v."""
    snapshots = len(snapshot_counts(n)) + passes
    return 4 * 3 * size ** 2 * (snapshots + 4) + LOG_BYTES * n * passes


def work_folder(folder):
    """Where the files of an unfinished run are, beside the folder that it will be."""
    parent, name = os.path.split(folder)
    return os.path.join(parent, "." + name + ".partial")


def checkpoint_of(folder):
    """The path of the checkpoint of an unfinished run."""
    return os.path.join(work_folder(folder), "checkpoint.npz")


class UapRun:
    """folder: where the finished run will be; until then its files are beside it, in `work`.

    identity: what makes this run this run (arguments, hashes); an interrupted run of the same
    identity is continued, unless `restart`. files: names of the n images. state: the State to begin
    with, of the class to continue with. p: the norm to log. Raises UserError when an interrupted
    run has another identity.

    state: the State of the UAP loop. snapshots: dict from the name of each snapshot to the number
    of images shown and the seconds of computing until then. broken: dict from the name of an
    unreadable file to the reason. resumed: whether an interrupted run is continued.
    """

    def __init__(self, folder, identity, files, class_names, state, p, restart):
        self.folder, self.work = folder, work_folder(folder)
        self.identity, self._files, self._class_names, self._p = identity, files, class_names, p
        self._log_path = os.path.join(self.work, "log.csv")
        self._checkpoint_path = checkpoint_of(folder)
        self._snapshot_counts = snapshot_counts(len(files))
        checkpoint = load_checkpoint(self._checkpoint_path, identity, restart)
        self.resumed = checkpoint is not None
        if self.resumed:
            progress, arrays = checkpoint
            self.state = state.from_checkpoint(progress["state"], arrays)
            self.broken, self._seconds = progress["broken"], progress["seconds"]
            self.snapshots = progress["snapshots"]
            os.truncate(self._log_path, progress["log_bytes"])
        else:
            self.state, self._seconds = state, 0.0
            self.broken, self.snapshots = {}, {}
            shutil.rmtree(self.work, ignore_errors=True)
            write_text(self._log_path, ",".join(LOG_COLUMNS) + "\n")
        self._began = time.time()
        self._log = open(self._log_path, "a", buffering=1, encoding="utf-8", newline="")

    def seconds(self):
        """Time spent so far, over all starts."""
        return self._seconds + time.time() - self._began

    def record(self, event):
        """Write what the UAP loop yielded: a row for each visit, v where a snapshot is due."""
        if isinstance(event, PassDone):
            self._save_snapshot("pass_{:03d}", event.number, self.state.visits)
        if not isinstance(event, Shown):
            return
        size, names = norm(self.state.v, self._p), self._class_names
        for visit in event.visits:
            with writing(self._log_path):
                csv.writer(self._log, lineterminator="\n").writerow((
                    visit.visit, visit.pass_number, self._files[visit.index], names[visit.clean],
                    names[visit.predicted], len(visit.path),
                    " ".join(names[l] for l in visit.path),
                    ("yes" if visit.kept else "no") if visit.path else "", "{:.6g}".format(size)))
            if visit.visit in self._snapshot_counts:  # a minibatch: v of its last image
                shown = event.visits[-1].visit if visit.kept else visit.visit
                self._save_snapshot("images_{:07d}", shown, shown)

    def _save_snapshot(self, name, number, shown):
        name = name.format(number)
        save_perturbation(os.path.join(self.work, "snapshots", name + ".npy"), self.state.v)
        self.snapshots[name] = {"images": shown, "seconds": round(self.seconds(), 1)}

    def save_checkpoint(self):
        with writing(self._log_path):
            self._log.flush()
            os.fsync(self._log.fileno())
        values, arrays = self.state.as_checkpoint()
        save_checkpoint(self._checkpoint_path, self.identity, {
            "state": values, "broken": self.broken, "snapshots": self.snapshots,
            "seconds": self.seconds(),
            "log_bytes": os.path.getsize(self._log_path)}, arrays)

    def discard(self):
        """Remove the files of this start."""
        self._log.close()
        shutil.rmtree(self.work)

    def publish(self):
        """Put the finished files in the place of those of an earlier run, if there was one."""
        self._log.close()
        publish(self.work, self.folder)
        remove_checkpoint(os.path.join(self.folder, "checkpoint.npz"))


def save_perturbation(path, v):
    """Write v, float32 (h, w, 3), model-input units, to a .npy file."""
    with replacing(path) as temporary:
        np.save(temporary, v)
