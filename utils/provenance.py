"""What must stand beside a result so that it can be made again."""

import datetime
import os
import platform
import subprocess
import sys


def now():
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.utcnow().replace(microsecond=0).isoformat() + "Z"


def environment():
    """Versions of Python and of packages that touch a number; machine, git commit, command."""
    import keras
    import numpy
    import PIL
    import scipy
    import sklearn
    import tensorflow

    return {
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tensorflow.__version__,
            "keras": keras.__version__,
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
            "pillow": PIL.__version__,
        },
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
        },
        "git": _git_state(),
        "command": ["python"] + sys.argv,
    }


def _git_state():
    """The commit of this checkout and whether tracked files differ from it; None outside git."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def git(*arguments):
        return subprocess.run(
            ("git", "-C", folder) + arguments,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True, check=True,
        ).stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "modified": bool(git("status", "--porcelain", "--untracked-files=no")),
        }
    except (OSError, subprocess.CalledProcessError):
        return None
