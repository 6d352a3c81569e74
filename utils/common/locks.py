"""Locks: two processes never write the same results at the same time."""

import atexit
import contextlib
import fcntl
import os
import platform

from utils.common.errors import UserError
from utils.common.whole_files import writing


def lock_until_exit(folder: str, name: str) -> None:
    """Keep every other process from locking `name` in `folder` until this process ends.

    The lock dies with the process, however it ends. Raises UserError when another process has it.
    """
    path = os.path.join(folder, f".{name}.lock")
    with writing(path):
        os.makedirs(folder, exist_ok=True)
        file = open(path, "a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(f"{folder}: {name} is being written by another run, "
                            f"{file.read().strip()}; wait for it")
        if not (os.path.exists(path) and os.path.samefile(path, file.fileno())):
            file.close()
            return lock_until_exit(folder, name)  # its holder removed it between our two calls
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()

    def release():
        with contextlib.suppress(OSError):
            os.remove(path)
        file.close()

    atexit.register(release)
