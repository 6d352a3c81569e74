"""How much memory this process can still have: the machine's, its container's and its own limit."""

import os
import resource
from typing import Dict, Iterator, List, Optional

from utils.common.errors import UserError

CGROUP = "/sys/fs/cgroup"  # where Linux shows the limits of containers and batch jobs


def require_memory(needed: int, what: str, mend: str) -> None:
    """Raise UserError when `needed` bytes are more than this process can still have.

    what: what they are for, to begin the message. mend: what to do, to end it.
    """
    present = available_memory()
    if present is not None and needed > present:
        raise UserError(f"{what} need {needed / 1e9:.1f} GB of memory, {present / 1e9:.1f} GB are "
                        f"present; {mend}")


def available_memory() -> Optional[int]:
    """Return the bytes that this process can still allocate, or None where nothing says.

    The least of: what the machine has free, or could free from its cache of files; what the control
    groups leave in which a container or a batch job runs; what `ulimit -v` leaves.
    """
    limits = [*_of_machine(), *_of_control_groups(), *_of_process()]
    return max(0, min(limits)) if limits else None


def _of_machine() -> Iterator[int]:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _of_control_groups() -> Iterator[int]:
    """Of each group, from that of this process up: its limit, less what it uses but cannot free."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            root, limit, used, cache = CGROUP, "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):  # version 1
            root = os.path.join(CGROUP, "memory")
            limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        for folder in _upwards(root, path):
            values = [_lines(os.path.join(folder, name))[:1] for name in (limit, used)]
            if all(values) and values[0] != ["max"]:
                statistics = _statistics(os.path.join(folder, "memory.stat"))
                yield int(values[0][0]) - int(values[1][0]) + statistics.get(cache, 0)


def _upwards(root: str, path: str) -> Iterator[str]:
    """The folder `path` below `root`, and all above it up to `root`."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield os.path.join(root, *parts[:length])


def _statistics(path: str) -> Dict[str, int]:
    pairs = [line.split() for line in _lines(path)]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def _of_process() -> Iterator[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _lines("/proc/self/statm")
    if limit != resource.RLIM_INFINITY and pages:
        yield limit - int(pages[0].split()[0]) * resource.getpagesize()


def _lines(path: str) -> List[str]:
    """The lines of a file of the kernel; none where there is no such file."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
