"""Locks: two processes never write the same results at the same time."""

import atexit
import contextlib
import errno
import fcntl
import functools
import os
import platform
import sys

from utils.common.errors import UserError
from utils.common.terminal import printable
from utils.common.whole_files import not_following, writing

# What flock() answers where the file system, such as some mounts of NFS and Lustre, has no locks.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def lock_until_exit(folder: str, name: str) -> None:
    """Keep every other process from locking `name` in `folder` until this process ends.

    The lock dies with the process, however it ends. Where the file system has no locks, a warning
    says once that nothing keeps another process away.
    Raises UserError when another process has it.
    """
    path = os.path.join(folder, f".{name}.lock")
    with writing(path):
        os.makedirs(folder, exist_ok=True)
        file = open(path, "a+", opener=not_following)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip()
            raise UserError(f"{folder}: {name} is being written by another run, {holder}; wait for "
                            "it")
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            _warn_of_no_locks(folder)
        if not (os.path.exists(path) and os.path.samefile(path, file.fileno())):
            file.close()
            return lock_until_exit(folder, name)  # its holder removed it between our two calls
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()

    def release() -> None:
        with contextlib.suppress(OSError):
            os.remove(path)
        file.close()

    atexit.register(release)


@functools.lru_cache(None)
def _warn_of_no_locks(folder: str) -> None:
    """Print the warning, once for each folder."""
    print(f"warning: {printable(folder)}: this file system has no locks, so it cannot be told "
          "whether another run writes there; see to it that none does", file=sys.stderr)
