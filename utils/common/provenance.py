"""What must stand beside a result so that it can be made again."""

import datetime
import importlib
import os
import platform
import subprocess
import sys

VERSION = "1.0.0"  # of this project; CHANGELOG.md says what changed, CITATION.cff repeats it
PACKAGES = {"tensorflow": "tensorflow", "keras": "keras", "numpy": "numpy", "scipy": "scipy",
            "scikit-learn": "sklearn", "pillow": "PIL"}  # those that touch a number


def now():
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.utcnow().replace(microsecond=0).isoformat() + "Z"


def environment():
    """This project's version, those of Python and of PACKAGES; machine, git commit, command."""
    versions = {name: importlib.import_module(module).__version__
                for name, module in PACKAGES.items()}
    return {
        "version": VERSION,
        "versions": dict(versions, python=platform.python_version()),
        "machine": {"system": platform.platform(), "processor": platform.machine(),
                    "cores": os.cpu_count()},
        "git": _git_state(),
        "command": ["python"] + sys.argv,
    }


def _git_state():
    """The commit of this checkout and whether tracked files differ from it; None outside git."""
    def git(*arguments):
        return subprocess.check_output(
            ("git",) + arguments, cwd=os.path.dirname(os.path.abspath(__file__)),
            stderr=subprocess.DEVNULL, universal_newlines=True).strip()

    try:
        return {"commit": git("rev-parse", "HEAD"),
                "modified": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None
