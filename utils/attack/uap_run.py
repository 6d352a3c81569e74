"""The folder of one run of make_uap.py: log, snapshots and checkpoint, until it is whole."""

import csv
import os
import shutil
import time

from utils.attack.perturbation_file import save_perturbation
from utils.attack.state import PassDone, Shown
from utils.common.checkpoint import save_checkpoint
from utils.common.files import publish, write_text, writing
from utils.images.norms import norm

# kept: whether the step went into v, yes or no; empty where v fooled the image already
LOG_COLUMNS = ("visit", "pass", "file", "clean", "under_v", "iterations", "path", "kept", "norm")


def snapshot_counts(n):
    """1, 2, 5 times powers of ten, from 10 up to n."""
    return {m * 10 ** e for e in range(1, 10) for m in (1, 2, 5) if m * 10 ** e <= n}


def checkpoint_of(folder):
    """The checkpoint of an unfinished run: in a hidden folder beside the one that it will be."""
    parent, name = os.path.split(folder)
    return os.path.join(parent, "." + name + ".partial", "checkpoint.npz")


class UapRun:
    """folder: where the finished run will be; until then its files are beside it, in `work`.

    identity: what makes this run this run. files: names of the n images. state: of the UAP loop, to
    begin with. p: the norm to log. checkpoint: to continue from, or None. snapshots: dict from the
    name of each to the images shown and the seconds of computing until then. broken: dict from the
    name of an unreadable file to the reason.
    """

    def __init__(self, folder, identity, files, class_names, state, p, checkpoint):
        self.folder, self.identity, self.state = folder, identity, state
        self._files, self._class_names, self._p = files, class_names, p
        self._checkpoint_path = checkpoint_of(folder)
        self.work = os.path.dirname(self._checkpoint_path)
        self._log_path = os.path.join(self.work, "log.csv")
        self._snapshot_counts = snapshot_counts(len(files))
        self.broken, self.snapshots, self._seconds = {}, {}, 0.0
        if checkpoint is None:
            shutil.rmtree(self.work, ignore_errors=True)
            write_text(self._log_path, ",".join(LOG_COLUMNS) + "\n")
        else:
            progress, arrays = checkpoint
            self.state = state.from_checkpoint(progress["state"], arrays)
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
        save_perturbation(os.path.join(self.work, "snapshots", name + ".npy"), self.state.v)
        self.snapshots[name] = {"images": shown, "seconds": round(self.seconds(), 1)}

    def save_checkpoint(self):
        """Save all that the same command needs to continue this run."""
        with writing(self._log_path):
            self._log.flush()
            os.fsync(self._log.fileno())
        values, arrays = self.state.as_checkpoint()
        save_checkpoint(self._checkpoint_path, self.identity, {
            "state": values, "broken": self.broken, "snapshots": self.snapshots,
            "seconds": self.seconds(), "log_bytes": os.path.getsize(self._log_path)}, arrays)

    def discard(self):
        """Remove the files of this start."""
        self._log.close()
        shutil.rmtree(self.work)

    def publish(self):
        """Put the finished files in the place of those of an earlier run, if there was one."""
        self._log.close()
        publish(self.work, self.folder)
        os.remove(os.path.join(self.folder, os.path.basename(self._checkpoint_path)))
