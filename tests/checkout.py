"""A copy of the project, with generated data sets, in which the documented commands are run.

The copy's `python` is the real one, but makes every job small: it appends options such as
`--epochs 1`, of which argparse takes the last. Everything else is what a user has.
"""

import csv
import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = "-m data.demo"
REPRODUCTION = os.path.join(ROOT, "results", "reproduction")
# Each with its table; those in no other group meet where all are evaluated together.
GROUPS = ("main", "full-size", "sizes", "controls", "repeats", "repeats/first", "ablations",
          "ablations/gd-uap", "ablations/halves")
CLASSES = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")

SMALL_PYTHON = """#!/bin/sh
case "$*" in
    train_model.py*) set -- "$@" --weights none --epochs 1 --limit 14
                     set -- "$@" --image-size "${{IMAGE_SIZE:-75}}" ;;
    make_uap.py*gd-uap*) exec "{0}" -c "{1}" "$@" ;;
    evaluate.py*)    set -- "$@" --limit 14 ;;
    "-m data.demo")  set -- "$@" --smoke ;;
    "-m pytest"*)    set -- "$@" --collect-only --quiet ;;
esac
exec "{0}" "$@"
"""
SHORT_CLIMBS = """
import runpy, sys
sys.path.insert(0, '.')
from utils.attack import gd_uap
gd_uap.CLIMBS = gd_uap.LONGEST = 2
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')"""


def make(folder):
    """Copy the project's files into `folder`, give it an environment, and generate its data."""
    for name in ("train_model.py", "make_uap.py", "evaluate.py", "README.md", "Makefile",
                 "Snakefile", "requirements.txt"):
        shutil.copy(os.path.join(ROOT, name), folder)
    for name in ("utils", "tests"):
        shutil.copytree(os.path.join(ROOT, name), os.path.join(folder, name),
                        ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("data", "results"):
        os.makedirs(os.path.join(folder, name))
    for path in glob.glob(os.path.join(ROOT, "data", "*.*")) + [
            os.path.join(ROOT, "results", name) for name in ("published.csv", "demo-check.csv")]:
        shutil.copy(path, os.path.join(folder, os.path.relpath(path, ROOT)))
    commands = os.path.join(folder, ".venv", "bin")
    os.makedirs(commands)
    python = os.path.join(commands, "python")
    with open(python, "w") as file:
        file.write(SMALL_PYTHON.format(sys.executable, SHORT_CLIMBS))
    os.chmod(python, 0o755)
    with open(os.path.join(commands, "activate"), "w") as file:
        file.write(f'PATH="{commands}:$PATH"\n')
    pins = subprocess.check_output("cat requirements.txt tests/requirements.txt | cksum",
                                   shell=True, cwd=folder)
    with open(os.path.join(folder, ".venv", "pins"), "wb") as file:
        file.write(pins)
    subprocess.check_call([sys.executable, "-m", "data.generate", "data", "--isic-images", "56",
                           "--natural-images", "6", "--size", "80"], cwd=folder)


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def tree(folder, look=read_bytes):
    """dict from path to look(path), its bytes, of every file below a folder; links are followed."""
    paths = [os.path.join(where, name) for where, _, names in os.walk(str(folder))
             for name in names]
    return {os.path.relpath(path, str(folder)): look(path) for path in paths}


def read_csv(*parts, header=None):
    """The rows of a csv file as dicts. header: where it is not the first row."""
    with open(os.path.join(*map(str, parts)), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, header))


# The files whose commands build on each other, in the order in which a reader meets them.
DOCUMENTED = ("README.md", "docs/reproducing.md", "docs/experiments.md")


def shell_blocks(text):
    """The shell blocks of a text in Markdown."""
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def documented_commands():
    """The shell blocks of the files of DOCUMENTED, in order, as they are run in the copy.

    10,000 or more images become 3, and weights that Keras would download become weights that are
    there.
    """
    blocks = []
    for name in DOCUMENTED:
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            blocks += shell_blocks(file.read())
    return [re.sub(r"\b100?000\b", "3", block).replace(
        "--weights imagenet --image-size 299", "--weights models/VGG16-lesion.h5 --image-size 75")
        for block in blocks]


def shell(folder, text):
    """Run shell commands in the copy, stopping at the first that fails: (exit code, output)."""
    done = subprocess.run(["sh", "-eu", "-c", text], cwd=folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    return done.returncode, done.stdout


class ForkServer:
    """Starts scripts, one at a time, in forks of one process; see fork_server.py."""

    def __init__(self):
        self._files = tempfile.mkdtemp()
        self._server = subprocess.Popen(
            [sys.executable, os.path.join(ROOT, "tests", "fork_server.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            universal_newlines=True)

    def start(self, folder, words):
        """Start a script in `folder`; returns its process id."""
        output, errors = (os.path.join(self._files, name) for name in ("stdout", "stderr"))
        self._server.stdin.write(json.dumps(
            [folder, output, errors, [str(word) for word in words]]) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self):
        """The exit code, or minus the number of the signal that ended it; stdout; stderr."""
        code = int(self._server.stdout.readline())
        texts = []
        for name in ("stdout", "stderr"):
            with open(os.path.join(self._files, name), encoding="utf-8") as file:
                texts.append(file.read())
        return (code,) + tuple(texts)


@functools.lru_cache(None)
def fork_server():
    """The one server of this process."""
    return ForkServer()


def script(folder, *words, **environment):
    """Run one of the scripts as it is, without options for small jobs: (code, stdout, stderr)."""
    if not environment:
        fork_server().start(folder, words)
        return fork_server().wait()
    done = subprocess.run([sys.executable] + [str(word) for word in words], cwd=folder,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, env=dict(os.environ, **environment))
    return done.returncode, done.stdout, done.stderr
