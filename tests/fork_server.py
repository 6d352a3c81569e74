"""Runs the scripts in forks of one process that has imported TensorFlow already: tests wait less.

Each line of its input is a JSON list: the folder to run in, two files for stdout and stderr, and
the words of the command. For each it prints the process id, then, when that process has ended,
how: the exit code, or minus the number of a signal.
"""

import importlib
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import matplotlib.pyplot  # noqa: F401  (what takes the scripts longest to import)
import sklearn.metrics  # noqa: F401

from utils.classifier import frameworks  # noqa: F401


def run(folder, output, errors, words):
    """Become the script."""
    from utils.common.errors import run_script

    for number, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    sys.argv = words[1:] if words[0] == "-m" else words
    name = words[1] if words[0] == "-m" else words[0][:-len(".py")]
    run_script(importlib.import_module(name).main)
    sys.exit()


for line in sys.stdin:
    process = os.fork()
    if process == 0:
        run(*json.loads(line))
    print(process, flush=True)
    status = os.waitpid(process, 0)[1]
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
