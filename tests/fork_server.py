"""Runs the scripts in forks of one process that has imported TensorFlow already.

Each line of its input is a JSON list, the words of a command. For each it prints the process id,
then, when that process has ended, how: the exit code, or minus the signal's number.
"""

import importlib
import json
import os
import sys

sys.path.insert(0, os.getcwd())

import keras.applications  # noqa: F401  (what takes the scripts longest to import)
import matplotlib.pyplot   # noqa: F401
import sklearn.metrics     # noqa: F401
import tensorflow          # noqa: F401


def run(words):
    from utils.errors import run_script

    with open("fork.log", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.argv = words
    try:
        run_script(importlib.import_module(words[0][:-len(".py")]).main)
    except SystemExit as end:
        os._exit(end.code or 0)
    os._exit(0)


for line in sys.stdin:
    process = os.fork()
    if process == 0:
        run(json.loads(line))
    print(process, flush=True)
    status = os.waitpid(process, 0)[1]
    print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)
