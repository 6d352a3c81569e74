"""What an interrupted run leaves so that the same command continues it."""

import json
import os
import signal
import time
import zipfile

import numpy as np

from utils.errors import UserError
from utils.files import replacing, unfinished
from utils.json_files import OBJECT, fields, read_json


def save_checkpoint(path, identity, progress, arrays):
    """Write a checkpoint; the one before stays whole until this one is.

    path: ending in .npz. identity: dict of what makes a run this run (arguments, hashes).
    progress: dict of JSON values. arrays: list of arrays.
    """
    header = json.dumps({"identity": identity, "progress": progress})
    with replacing(path) as temporary:
        np.savez(temporary, header=np.array(header), **{
            "array_{:05d}".format(i): array for i, array in enumerate(arrays)})


def load_checkpoint(path, identity, restart):
    """Read the checkpoint of a run.

    Returns (progress, arrays), or None when there is none or `restart` is true. Raises UserError,
    naming what differs, when the checkpoint is of a run with another identity.
    """
    if restart or not os.path.exists(path):
        return None
    mend = "give --restart to begin anew"
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = [file[name] for name in sorted(file.files) if name != "header"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError("{}: not a checkpoint ({}); {}".format(path, error, mend))
    require_same(path, header["identity"], identity, "an interrupted run")
    return header["progress"], arrays


def is_finished(path, identity, checkpoint_path, restart):
    """Whether nothing is left to do, because the JSON file `path` is of a run of this identity.

    Never with `restart`, nor while an interrupted run is to be continued. Raises UserError, naming
    what differs, when `path` is of another run, which must not be overwritten.
    """
    if restart or os.path.exists(checkpoint_path) or not os.path.exists(path):
        return False
    there = read_json(path, fields(identity=OBJECT), "--restart makes it anew")["identity"]
    require_same(path, there, identity, "a finished run")
    return True


def require_same(path, there, identity, what):
    """Raise UserError, naming what differs, when `there`, found at `path`, is not `identity`."""
    here = json.loads(json.dumps(identity))
    differing = sorted(key for key in set(here) | set(there) if here.get(key) != there.get(key))
    if differing:
        raise UserError(
            "{}: {} with other arguments: {}; give them again, or another --name, or --restart to "
            "begin anew".format(path, what, ", ".join("{} {} then, {} now".format(
                key, there.get(key), here.get(key)) for key in differing)))


def remove_checkpoint(path):
    """Remove a checkpoint, if there is one, and what a killed process had written of the next."""
    for each in (path, unfinished(path)):
        if os.path.exists(each):
            os.remove(each)


class Schedule:
    """Says, each time it is asked, whether so many seconds have passed since it last said yes."""

    def __init__(self, seconds):
        self._seconds, self._since = seconds, time.time()

    def __call__(self):
        due = time.time() - self._since > self._seconds
        if due:
            self._since = time.time()
        return due


class StopRequest:
    """Whether SIGINT or SIGTERM has come: for loops that stop where their state is complete."""

    def __init__(self):
        self.received = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def _receive(self, number, frame):
        self.received = True
