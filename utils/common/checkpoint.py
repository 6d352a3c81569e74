"""What an interrupted run leaves so that the same command continues it."""

import json
import os
import signal
import time
import zipfile

import numpy as np

from utils.common.errors import UserError
from utils.common.files import replacing
from utils.common.json_files import OBJECT, fields, read_json


def save_checkpoint(path, identity, progress, arrays):
    """Write a checkpoint, a .npz file; the one before stays whole until this one is.

    identity: dict of what makes a run this run (arguments, hashes). progress: dict of JSON values.
    """
    header = json.dumps({"identity": identity, "progress": progress})
    with replacing(path) as temporary:
        np.savez(temporary, header=np.array(header), **{
            "array_{:05d}".format(i): array for i, array in enumerate(arrays)})


def load_checkpoint(path, identity, restart):
    """The (progress, arrays) of a checkpoint, None where there is none or with `restart`.

    Raises UserError, naming what differs, when it is of a run with another identity.
    """
    if restart or not os.path.exists(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = [file[name] for name in sorted(file.files) if name != "header"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError("{}: not a checkpoint ({}); give --restart to begin anew".format(
            path, error))
    _require_same(path, header["identity"], identity, "an interrupted run")
    return header["progress"], arrays


def is_finished(path, product, identity, checkpoint_path, restart):
    """Whether nothing is left to do, because the JSON file `path` is of a run of this identity.

    Never with `restart`, nor while an interrupted run is to be continued, nor where the file
    `product` is gone. Raises UserError, naming what differs, when `path` is of another run, which
    must not be overwritten.
    """
    if (restart or os.path.exists(checkpoint_path)
            or not (os.path.exists(path) and os.path.exists(product))):
        return False
    there = read_json(path, fields(identity=OBJECT), "--restart makes it anew")["identity"]
    _require_same(path, there, identity, "a finished run")
    return True


def _require_same(path, there, identity, what):
    here = json.loads(json.dumps(identity))
    differing = ["{} {} then, {} now".format(key, there.get(key), here.get(key))
                 for key in sorted(set(here) | set(there)) if here.get(key) != there.get(key)]
    if differing:
        raise UserError("{}: {} with other arguments: {}; give them again, or another --name, or "
                        "--restart to begin anew".format(path, what, ", ".join(differing)))


def with_checkpoints(events, save, seconds):
    """Yield the events; save() whenever so many seconds have passed, and after the last.

    After SIGINT or SIGTERM, saves after the event in progress and raises KeyboardInterrupt.
    """
    signals = []
    handlers = {number: signal.signal(number, lambda number, frame: signals.append(number))
                for number in (signal.SIGINT, signal.SIGTERM)}
    saved = time.time()
    for event in events:
        yield event
        if signals:
            break
        if time.time() - saved > seconds:
            save()
            saved = time.time()
    save()
    for number, handler in handlers.items():
        signal.signal(number, handler)
    if signals:
        raise KeyboardInterrupt
