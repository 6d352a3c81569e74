"""utils/environment.sh finds a Python 3.7, makes .venv once, and says what to do without one."""

import os
import shutil
import subprocess

import pytest

import checkout

FAKE_PYTHON = """#!/bin/sh
case "$*" in
    "-c "*) exit {not_37} ;;
    "-m venv .venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
    "-m pip install "*) echo installed >> installs ;;
    *) echo "ran $*" ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    """A folder with the script and the pins, and a PATH without any Python 3.7."""
    for name in ("utils/environment.sh", "requirements.txt", "tests/requirements.txt"):
        os.makedirs(str(tmp_path / os.path.dirname(name)), exist_ok=True)
        shutil.copy(os.path.join(checkout.ROOT, name), str(tmp_path / name))
    (tmp_path / "commands").mkdir()
    return tmp_path


def fake_python(path, works=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FAKE_PYTHON.format(not_37=0 if works else 1))
    path.chmod(0o755)
    return str(path)


def run(project, **environment):
    done = subprocess.run(
        ["sh", "utils/environment.sh", "python", "train_model.py"], cwd=str(project),
        env=dict({"PATH": "{}:/usr/bin:/bin".format(project / "commands"), "HOME": str(project)},
                 **environment),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    return done.returncode, done.stdout, done.stderr


def test_without_a_python_37_three_lines_say_how_to_get_one(project):
    code, _, errors = run(project)
    assert code == 2
    assert len(errors.splitlines()) == 3
    for word in ("3.7", "pyenv install", "conda create", "PYTHON="):
        assert word in errors
    assert not (project / ".venv").exists()


def test_a_python_that_is_named_but_does_not_work_is_an_error(project):
    code, _, errors = run(project, PYTHON=fake_python(project / "broken", works=False))
    assert code == 2 and "broken" in errors


def test_a_python37_that_does_not_run_is_passed_over_for_one_of_pyenv(project):
    fake_python(project / "commands" / "python3.7", works=False)
    fake_python(project / ".pyenv" / "versions" / "3.7.16" / "bin" / "python")
    code, output, errors = run(project)
    assert (code, output) == (0, "ran train_model.py\n")
    assert "3.7.16" in errors


def test_the_environment_is_reused_until_the_pins_change(project):
    fake_python(project / "commands" / "python3.7")
    for _ in range(2):
        assert run(project)[:2] == (0, "ran train_model.py\n")
    assert (project / "installs").read_text().count("installed") == 1
    with open(str(project / "requirements.txt"), "a") as file:
        file.write("# another pin\n")
    assert run(project)[0] == 0
    assert (project / "installs").read_text().count("installed") == 2


def test_an_installation_that_failed_is_begun_again(project):
    python = fake_python(project / "commands" / "python3.7")
    with open(python) as file:
        working = file.read()
    with open(python, "w") as file:
        file.write(working.replace("echo installed >> installs", "exit 1"))
    assert run(project)[0] != 0
    with open(python, "w") as file:
        file.write(working)
    assert run(project)[:2] == (0, "ran train_model.py\n")
