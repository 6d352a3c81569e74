"""What must stand beside a result so that it can be made again."""

import datetime
import importlib
import os
import platform
import subprocess
import sys
from typing import Any, Dict, Optional

VERSION = "1.0.0"  # of this project; CHANGELOG.md says what changed, CITATION.cff repeats it
# Those that touch a number, beside TensorFlow and Keras.
PACKAGES = {"numpy": "numpy", "scipy": "scipy", "scikit-learn": "sklearn", "pillow": "PIL"}


def now() -> str:
    """Return the time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def environment(frameworks: Dict[str, str]) -> Dict[str, Any]:
    """Describe what made a result, for its JSON file.

    That is this project's version, the versions of Python and of PACKAGES, the machine, the git
    commit and the command. frameworks: the versions of TensorFlow and of the Keras that computed.
    """
    versions = {name: importlib.import_module(module).__version__
                for name, module in PACKAGES.items()}
    return {
        "version": VERSION,
        "versions": dict(versions, **frameworks, python=platform.python_version()),
        "machine": {"system": platform.platform(), "processor": platform.machine(),
                    "cores": os.cpu_count()},
        "git": _git_state(),
        "command": ["python"] + sys.argv,
    }


def _git_state() -> Optional[Dict[str, Any]]:
    """Return the commit of this checkout and whether tracked files differ; None outside git."""
    def git(*arguments: str) -> str:
        return subprocess.check_output(
            ("git",) + arguments, cwd=os.path.dirname(os.path.abspath(__file__)),
            stderr=subprocess.DEVNULL, universal_newlines=True).strip()

    try:
        return {"commit": git("rev-parse", "HEAD"),
                "modified": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return None
