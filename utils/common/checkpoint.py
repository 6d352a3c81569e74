"""The checkpoint of an interrupted run: its file, and when it is written."""

import contextlib
import io
import json
import os
import signal
import time
import zipfile
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
)

import numpy as np

from utils.common.errors import UserError
from utils.common.json_files import OBJECT, Schema, fault_of, fields, parse_json
from utils.common.whole_files import replacing

# Raised with every change of what a checkpoint holds or of what it means: an older or newer one
# must not be continued as if nothing had changed.
FORMAT = 3
HEADER = fields(identity=OBJECT, progress=OBJECT)
STDERR = 2  # its file descriptor
MEND = "give --restart to begin anew"

Item = TypeVar("Item")


class Checkpoint(NamedTuple):
    """What an interrupted run leaves so that the same command continues it.

    identity: what makes the run this run (arguments, hashes). progress: JSON values.
    """

    identity: Dict[str, Any]
    progress: Dict[str, Any]
    arrays: List[np.ndarray]


class ArrayKind(NamedTuple):
    """What an array of a checkpoint must be. lowest, highest: of its values, inclusive."""

    shape: Tuple[int, ...]
    dtype: str
    lowest: float = -np.inf
    highest: float = np.inf


def save_checkpoint(path: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint, a .npz file; the one before stays whole until this one is.

    Raises UserError when it cannot be written.
    """
    header = json.dumps({"format": FORMAT, "identity": checkpoint.identity,
                         "progress": checkpoint.progress})
    arrays = {f"array_{i:05d}": array for i, array in enumerate(checkpoint.arrays)}
    # Made in memory: a zip file that fails on a full disk fails again when it is forgotten.
    content = io.BytesIO()
    np.savez(content, header=np.array(header), **arrays)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content.getbuffer())


def load_checkpoint(path: str) -> Optional[Checkpoint]:
    """Read a checkpoint, or return None where there is none.

    Raises UserError when it is damaged, or of a version of the code with another FORMAT.
    """
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        content = file.read()
    try:
        arrays = _read_arrays(content)
        header = parse_json(str(arrays.pop("header")))
    except Exception as error:  # zipfile, zlib and NumPy raise almost any of damaged bytes
        raise UserError(f"{path}: not a checkpoint ({str(error) or type(error).__name__}); {MEND}")
    version = header.get("format", 1) if isinstance(header, dict) else None
    if version != FORMAT:
        raise UserError(f"{path}: a checkpoint of format {version}, this version of the code "
                        f"continues format {FORMAT}; continue with the version that wrote it, or "
                        f"{MEND}")
    fault = fault_of(header, HEADER)
    if fault:
        raise UserError(f"{path}: not a checkpoint ({fault}); {MEND}")
    return Checkpoint(header["identity"], header["progress"],
                      [arrays[name] for name in sorted(arrays)])


def _read_arrays(content: bytes) -> Dict[str, np.ndarray]:
    """Read a .npz file as np.load() does, which leaves a message behind where it is damaged."""
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > len(content):
            raise ValueError("it would be larger unpacked")
        for name in archive.namelist():
            with archive.open(name) as member:
                arrays[os.path.splitext(name)[0]] = np.lib.format.read_array(
                    member, allow_pickle=False)
    return arrays


def require_fit(checkpoint: Checkpoint, path: str, progress: Schema,
                arrays: Sequence[ArrayKind]) -> None:
    """Raise UserError unless a run can be continued from what the checkpoint at `path` holds.

    progress: the schema of its progress. arrays: what its arrays must be.
    """
    fault = fault_of(checkpoint.progress, progress)
    if not fault and len(checkpoint.arrays) != len(arrays):
        fault = f"{len(checkpoint.arrays)} arrays, expected {len(arrays)}"
    faults = (_fault_of_array(array, kind) for array, kind in zip(checkpoint.arrays, arrays))
    fault = fault or next(filter(None, faults), None)
    if fault:
        raise UserError(f"{path}: not a checkpoint of this run ({fault}); {MEND}")


def _fault_of_array(array: np.ndarray, kind: ArrayKind) -> Optional[str]:
    """Say what is wrong with an array, or return None."""
    if array.shape != tuple(kind.shape) or array.dtype != np.dtype(kind.dtype):
        return (f"an array of {array.dtype} {array.shape}, expected {kind.dtype} "
                f"{tuple(kind.shape)}")
    if not np.isfinite(array).all():
        return f"an array of {array.dtype} {array.shape} that holds values that are not finite"
    if array.size and not (kind.lowest <= array.min() and array.max() <= kind.highest):
        return (f"an array of values from {array.min()} to {array.max()}, expected {kind.lowest} "
                f"to {kind.highest}")
    return None


def with_checkpoints(events: Iterable[Item], save: Callable[[], None],
                     seconds: float) -> Iterator[Item]:
    """Yield the events; call save() whenever so many seconds have passed, and after the last.

    At the first SIGINT or SIGTERM it says on stderr that it stops. It then saves after the event in
    progress, which is an image or a batch, and raises KeyboardInterrupt. The handlers that were
    there before are there again afterwards, also when anything is raised, here or by whoever takes
    the events.
    """
    signals: List[int] = []

    def note(number: int, frame: Any) -> None:
        if not signals:
            _say_at_once("\nstopping after this image or batch\n")
        signals.append(number)

    handlers = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        saved = time.monotonic()
        for event in events:
            yield event
            if signals:
                break
            if time.monotonic() - saved > seconds:
                save()
                saved = time.monotonic()
        save()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if signals:
        raise KeyboardInterrupt


def _say_at_once(text: str) -> None:
    """Write to stderr from a signal handler, which may have interrupted a write to sys.stderr."""
    with contextlib.suppress(OSError):  # where nobody listens any more
        os.write(STDERR, text.encode())
