"""The folder of a data set that is whole or absent: put together beside its place, then moved."""

import contextlib
import fcntl
import os
import shutil

from utils.errors import UserError
from utils.files import read_json, write_json
from utils.provenance import now


class Place:
    """Where a data set is put together (`tree`, in the folder `work`) and where it goes (`final`).

    prepared.json appears in `tree` when everything else there is whole, and moves last: so an
    interrupted move is told from an interrupted preparation. Other files in `final` are left alone.
    """

    def __init__(self, data_dir, name):
        self._name = name
        self.final = os.path.join(data_dir, name)
        self.work = os.path.join(data_dir, ".{}.partial".format(name))
        self.tree = os.path.join(self.work, name)
        self._mark = os.path.join(self.tree, "prepared.json")
        self._earlier = os.path.join(self.work, "earlier")

    def is_unsettled(self):
        """Whether a process was interrupted while it moved the finished data set, or cleaned up."""
        return os.path.exists(self.work) and (
            os.path.exists(self._mark) or not os.path.exists(self.tree)
            or not os.listdir(self.tree))

    @contextlib.contextmanager
    def locked(self):
        """Make `work`, and finish an interrupted move. Raises UserError while another is in."""
        os.makedirs(self.work, exist_ok=True)
        with open(os.path.join(self.work, "lock"), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process
            except BlockingIOError:
                raise UserError("{}: another process is preparing this data set; let it end, or "
                                "give another --data-dir".format(self.work))
            if os.path.exists(self._mark):
                self._move()
            os.makedirs(self.tree, exist_ok=True)
            try:
                yield
            finally:
                if not os.listdir(self.tree) and (
                        self.record() or set(os.listdir(self.work)) == {"lock", self._name}):
                    shutil.rmtree(self.work)

    def publish(self, record):
        """Move the finished data set to its place; only one that was prepared here is replaced.

        record: dict to keep there as prepared.json. Raises UserError.
        """
        for where, _, names in os.walk(self.tree):
            for name in names:
                if name.startswith("."):  # half a file, left by a process that was killed
                    os.remove(os.path.join(where, name))
        for name in os.listdir(self.tree):
            target = os.path.join(self.final, name)
            if os.path.exists(target) and self.record() is None:
                raise UserError("{}: is in the way; move it elsewhere, then the same command "
                                "continues".format(target))
        shutil.rmtree(self._earlier, ignore_errors=True)
        write_json(self._mark, dict(record, entries=os.listdir(self.tree), finished=now()))
        os.sync()
        self._move()

    def _move(self):
        os.makedirs(self.final, exist_ok=True)
        here = read_json(self._mark, "delete it", ("entries",))["entries"]
        for name in (self.record() or {"entries": []})["entries"]:
            if name not in here:
                self._set_aside(name)
        for name in sorted(os.listdir(self.tree), key=lambda name: name == "prepared.json"):
            self._set_aside(name)
            os.rename(os.path.join(self.tree, name), os.path.join(self.final, name))

    def _set_aside(self, name):
        if os.path.exists(os.path.join(self.final, name)):
            os.makedirs(self._earlier, exist_ok=True)
            os.rename(os.path.join(self.final, name), os.path.join(self._earlier, name))

    def record(self):
        """What prepared.json says; None when the data set was not prepared here. UserError."""
        path = os.path.join(self.final, "prepared.json")
        return (read_json(path, "delete it", ("images", "seed", "entries"))
                if os.path.exists(path) else None)

    def print_ready(self, count):
        print("ready: {} images in {}".format(count, self.final))
