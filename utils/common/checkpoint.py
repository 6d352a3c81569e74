"""The checkpoint of an interrupted run: its file, and when it is written."""

import json
import os
import signal
import time
import zipfile
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, TypeVar

import numpy as np

from utils.common.errors import UserError
from utils.common.whole_files import replacing

Event = TypeVar("Event")


class Checkpoint(NamedTuple):
    """What an interrupted run leaves so that the same command continues it.

    identity: what makes the run this run (arguments, hashes). progress: JSON values.
    """

    identity: Dict[str, Any]
    progress: Dict[str, Any]
    arrays: List[np.ndarray]


def save_checkpoint(path: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, a .npz file; the one before stays whole until this one is."""
    header = json.dumps({"identity": checkpoint.identity, "progress": checkpoint.progress})
    arrays = {f"array_{i:05d}": array for i, array in enumerate(checkpoint.arrays)}
    with replacing(path) as temporary:
        np.savez(temporary, header=np.array(header), **arrays)


def load_checkpoint(path: str) -> Optional[Checkpoint]:
    """Read a checkpoint, or return None where there is none. Raises UserError."""
    if not os.path.exists(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = [file[name] for name in sorted(file.files) if name != "header"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a checkpoint ({error}); give --restart to begin anew")
    return Checkpoint(header["identity"], header["progress"], arrays)


def with_checkpoints(events: Iterable[Event], save: Callable[[], None],
                     seconds: float) -> Iterator[Event]:
    """Yield the events; call save() whenever so many seconds have passed, and after the last.

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
