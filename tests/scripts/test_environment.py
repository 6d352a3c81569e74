"""utils/environment.sh finds or fetches an environment's Python, makes it once, or says what to do.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

import checkout

COREUTILS = "cat cksum cp dirname env grep ls mkdir rm sed sh sort touch uname".split()

# Stand-ins. Each does what the real program does with the options that the script gives, and fails
# at any others; the copies of `python37` and `uv` that they hand out lie in the project's folder.
PYTHON37 = """#!/bin/sh
case "$*" in
    "-c "*) {check} ;;
    "-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; {venv} ;;
    "-m pip --version") {pip} ;;
    "-m pip install "*) echo "$*" >> installs; {install} ;;
    *) echo "ran $*, ENVIRONMENT=$ENVIRONMENT" ;;
esac
"""


def python37(check=":", venv=":", pip=":", install=":"):
    return PYTHON37.format(check=check, venv=venv, pip=pip, install=install)


GOOD = python37()
BROKEN = "#!/nonexistent\n"
WRONG_VERSION = python37(check="exit 1")
NO_ENSUREPIP = python37(venv="exit 1")
NO_PIP = python37(pip="exit 1")

UV = """#!/bin/sh
[ "$*" = "python install --install-dir .venv-uv 3.7.9" ] || exit 2
mkdir -p .venv-uv/cpython-3.7.9-linux-x86_64-gnu/bin
cp python37 .venv-uv/cpython-3.7.9-linux-x86_64-gnu/bin/python3.7
"""
NEWER_UV = """#!/bin/sh
[ "$1 $2 $3" = "tool run uv@0.6.17" ] || exit 2
shift 3
exec ./uv "$@"
"""
INTERRUPTED_UV = "#!/bin/sh\nmkdir -p .venv-uv/.temp/half\nexit 130\n"
PYTHON3 = """#!/bin/sh
case "$*" in
    "-m pip install "*" --target .venv-uv/uv uv==0.6.17") ;;
    *) exit 2 ;;
esac
mkdir -p .venv-uv/uv/bin
cp uv .venv-uv/uv/bin/uv
"""
CONDA = """#!/bin/sh
[ "$*" = "create -y -q -p $PWD/.venv-conda --override-channels -c conda-forge python=3.7" ] ||
    exit 2
mkdir .venv-conda .venv-conda/bin || exit 2
cp python37 .venv-conda/bin/python
"""
INTERRUPTED_CONDA = CONDA + "exit 130\n"
OFFLINE = "#!/bin/sh\nexit 1\n"


@pytest.fixture
def project(tmp_path):
    """A folder with the script and the pins, and a PATH with nothing but some of coreutils."""
    for name in ("utils/environment.sh", "requirements.txt", "requirements-tf2.txt",
                 "requirements-tf2-gpu.txt", "tests/requirements.txt"):
        os.makedirs(str(tmp_path / os.path.dirname(name)), exist_ok=True)
        shutil.copy(os.path.join(checkout.ROOT, name), str(tmp_path / name))
    (tmp_path / "PATH").mkdir()
    for name in COREUTILS:
        (tmp_path / "PATH" / name).symlink_to(shutil.which(name))
    add(tmp_path, {"python37": GOOD, "uv": UV})
    return tmp_path


def add(project, programs):
    """Write stand-ins; programs: dict from a path in the project to the program's text."""
    for path, text in programs.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        if (project / path).exists():
            (project / path).unlink()
        (project / path).write_text(text)
        (project / path).chmod(0o755)


def run(project, command=("python", "train_model.py"), **environment):
    done = subprocess.run(
        ("sh", "utils/environment.sh") + command, cwd=str(project),
        env=dict({"PATH": str(project / "PATH"), "HOME": str(project)}, **environment),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    return done.returncode, done.stdout, done.stderr


def on_path(**programs):
    """Programs on the PATH; python37 and python3_7 stand for names with a dot."""
    return {"PATH/" + name.replace("python3_7", "python3.7"): text
            for name, text in programs.items()}


def of_pyenv(version, text):
    return {f".pyenv/versions/{version}/bin/python": text}


EVERYTHING = dict(on_path(python3_7=GOOD, uv=UV, python3=PYTHON3, micromamba=CONDA, conda=CONDA),
                  **of_pyenv("3.7.16", GOOD))


@pytest.mark.parametrize("programs, environment, taken", [
    (dict(EVERYTHING, mine=GOOD), {"PYTHON": "./mine"}, r"./mine (\$PYTHON)"),
    (EVERYTHING, {}, r"python3\.7 (PATH)"),
    (dict(of_pyenv("3.7.9", GOOD), **of_pyenv("3.7.16", GOOD)), {}, r"/3\.7\.16/.* (pyenv)"),
    (dict(of_pyenv("3.7.9", GOOD), **of_pyenv("3.7.16", BROKEN)), {}, r"/3\.7\.9/.* (pyenv)"),
    (of_pyenv("3.8.18", GOOD), {}, None),
    (on_path(uv=UV, conda=CONDA), {}, r"cpython-3\.7\.9-.*/bin/python3\.7 (uv)"),
    (on_path(uv=NEWER_UV, python3=OFFLINE), {}, "(uv)"),
    (on_path(uv=OFFLINE, python3=PYTHON3), {}, "(uv)"),
    (on_path(python3=PYTHON3), {}, "(uv)"),
    (on_path(python3=OFFLINE, micromamba=CONDA, conda=OFFLINE), {}, "(conda)"),
    (on_path(mamba=CONDA), {}, "(conda)"),
    (on_path(micromamba=OFFLINE, conda=CONDA), {}, "(conda)"),
    (on_path(micromamba=INTERRUPTED_CONDA, conda=CONDA), {}, "(conda)"),
    (dict(on_path(uv=UV, conda=OFFLINE), python37=BROKEN), {}, None),
    (dict(on_path(uv=OFFLINE, conda=CONDA), python37=NO_ENSUREPIP), {}, None),
    (on_path(uv=INTERRUPTED_UV, python3=OFFLINE, conda=INTERRUPTED_CONDA), {}, None),
    ({}, {}, None),
    (EVERYTHING, {"PYTHON_SOURCE": "pyenv"}, "(pyenv)"),
    (EVERYTHING, {"PYTHON_SOURCE": "uv"}, "(uv)"),
    (EVERYTHING, {"PYTHON_SOURCE": "conda"}, "(conda)"),
    (dict(EVERYTHING, **on_path(uv=OFFLINE, python3=OFFLINE)), {"PYTHON_SOURCE": "uv"}, None),
])
def test_the_first_source_that_works_is_taken_and_named(project, programs, environment, taken):
    add(project, programs)
    code, output, errors = run(project, **environment)
    if taken is None:
        assert code == 2 and not (project / ".venv").exists()
        assert "error: no working Python 3.7 (tried " in errors
    else:
        assert (code, output) == (0, "ran train_model.py, ENVIRONMENT=\n"), errors
        named = re.findall("^making the environment .venv with (.*)$", errors, re.MULTILINE)
        assert len(named) == 1
        assert re.search(taken.replace("(", r"\(").replace(")", r"\)") + "$", named[0])


@pytest.mark.parametrize("bad", [BROKEN, WRONG_VERSION, NO_ENSUREPIP, NO_PIP])
def test_a_python37_that_lacks_something_is_passed_over(project, bad):
    add(project, dict(on_path(python3_7=bad), **of_pyenv("3.7.16", GOOD)))
    code, output, errors = run(project)
    assert code == 0 and "passed over: python3.7 (PATH)" in errors and "(pyenv)" in errors
    code, _, errors = run(project, PYTHON="python3.7", ENVIRONMENT="tf2")
    assert code == 2 and "error: $PYTHON is python3.7" in errors
    assert not (project / ".venv-tf2").exists()


@pytest.mark.parametrize("programs, environment, words", [
    ({}, {}, ["ENVIRONMENT=tf2", "docker build", "pyenv install 3.7", "PYTHON="]),
    ({}, {"PYTHON_SOURCE": "brew"}, ["PYTHON_SOURCE is brew; expected PATH, pyenv, uv or conda"]),
    ({}, {"ENVIRONMENT": "tf3"}, ["ENVIRONMENT is tf3; expected tf2, tf2-gpu, or nothing"]),
    ({}, {"ENVIRONMENT": "tf2"}, ["no working Python 3.10 to 3.13", "pyenv install 3.12"]),
    (dict(EVERYTHING, **on_path(uname="#!/bin/sh\necho arm64\n")), {},
     ["x86-64 only, this is arm64", "ENVIRONMENT=tf2", "docker build"])])
def test_what_cannot_work_is_said_in_at_most_four_lines(project, programs, environment, words):
    add(project, programs)
    code, _, errors = run(project, **environment)
    assert code == 2 and len(errors.splitlines()) <= 4
    assert all(word in errors for word in words)


@pytest.mark.parametrize("interrupted, whole", [
    (on_path(uv=INTERRUPTED_UV), on_path(uv=UV)),
    (on_path(conda=INTERRUPTED_CONDA), on_path(conda=CONDA)),
    (on_path(python3_7=python37(install="exit 1")), on_path(python3_7=GOOD)),
    (on_path(python3_7=python37(install="kill -KILL $PPID")), on_path(python3_7=GOOD)),
])
def test_an_interrupted_attempt_is_begun_again(project, interrupted, whole):
    add(project, interrupted)
    assert run(project)[0] != 0
    assert not (project / ".venv" / "pins").exists()
    add(project, whole)
    assert run(project)[0] == 0
    assert "making" not in run(project)[2]


# What is asked for to find a Python of version 3.12 or another one, as EVERYTHING for 3.7.
UV_312 = UV.replace("3.7.9", "3.12.10").replace("python3.7", "python3.12")
CONDA_312 = CONDA.replace(".venv-conda", ".venv-conda-tf2").replace("python=3.7", "python=3.12")


@pytest.mark.parametrize("programs, taken", [
    ({"PATH/python3.7": GOOD, "PATH/python3.12": GOOD, "PATH/python3.13": GOOD},
     r"python3\.12 \(PATH\)"),
    ({"PATH/python3.7": GOOD, "PATH/python3.13": GOOD}, r"python3\.13 \(PATH\)"),
    ({"PATH/python3.12": WRONG_VERSION, "PATH/python3.10": GOOD}, r"python3\.10 \(PATH\)"),
    (dict(of_pyenv("3.7.16", GOOD), **of_pyenv("3.10.13", GOOD)), r"/3\.10\.13/.* \(pyenv\)"),
    (dict({"PATH/python3.11": GOOD}, **of_pyenv("3.12.1", GOOD)), r"/3\.12\.1/.* \(pyenv\)"),
    (dict({"PATH/python3.11": GOOD}, **on_path(uv=UV_312)), r"python3\.11 \(PATH\)"),
    (dict(of_pyenv("3.12.1", GOOD), **of_pyenv("3.12.10", GOOD)), r"/3\.12\.10/.* \(pyenv\)"),
    (on_path(uv=UV_312), r"cpython-3\.12\.10-.*/bin/python3\.12 \(uv\)"),
    (on_path(conda=CONDA_312), r"\.venv-conda-tf2/bin/python \(conda\)")])
def test_the_second_environment_has_a_python_and_pins_of_its_own(project, programs, taken):
    add(project, programs)
    code, output, errors = run(project, ENVIRONMENT="tf2")
    assert (code, output) == (0, "ran train_model.py, ENVIRONMENT=\n"), errors
    assert re.search("^making the environment .venv-tf2 with .*" + taken + "$", errors, re.M)
    assert (project / ".venv-tf2" / "pins").exists() and not (project / ".venv").exists()
    installed = (project / "installs").read_text()
    assert "-r requirements-tf2.txt -r tests/requirements.txt" in installed
    assert "making" not in run(project, ENVIRONMENT="tf2")[2]


def test_what_is_passed_over_is_named_with_the_versions_that_would_do(project):
    add(project, {"PATH/python3.12": WRONG_VERSION, "PATH/python3.13": BROKEN,
                  "PATH/python3.10": GOOD})
    code, _, errors = run(project, ENVIRONMENT="tf2")
    assert code == 0 and re.findall("^passed over: (.*)$", errors, re.M) == [
        "python{} (PATH) is not a working Python 3.10 to 3.13 with ssl, venv and pip".format(each)
        for each in ("3.12", "3.13")]


def test_with_a_gpu_its_libraries_are_installed_too(project):
    add(project, {"PATH/python3.12": GOOD})
    assert run(project, ENVIRONMENT="tf2-gpu")[0] == 0
    assert "-r requirements-tf2.txt -r requirements-tf2-gpu.txt -r tests/requirements.txt" in (
        project / "installs").read_text()


def test_the_environment_is_reused_until_the_pins_change(project):
    add(project, on_path(python3_7=GOOD))
    for changed, installs in ((False, 1), (False, 1), (True, 2)):
        if changed:
            (project / "requirements.txt").write_text("# another pin\n")
        assert run(project)[0] == 0
        assert len((project / "installs").read_text().splitlines()) == installs


def test_of_two_commands_at_once_one_makes_the_environment_and_the_other_waits(project):
    for name in ("flock", "sleep"):
        (project / "PATH" / name).symlink_to(shutil.which(name))
    add(project, on_path(python3_7=python37(install="sleep 0.5")))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        ended = list(pool.map(run, [project] * 3))
    assert {(code, output) for code, output, _ in ended} == {
        (0, "ran train_model.py, ENVIRONMENT=\n")}
    assert len((project / "installs").read_text().splitlines()) == 1


# The environment that the Python of this test is for, and its folder and requirements.
ENVIRONMENT_HERE, VENV_HERE, REQUIREMENTS_HERE = (
    ("", ".venv", "requirements.txt") if sys.version_info[:2] == (3, 7)
    else ("tf2", ".venv-tf2", "requirements-tf2.txt"))


def test_a_real_python_makes_a_real_environment(project):
    for name in (REQUIREMENTS_HERE, "tests/requirements.txt"):
        (project / name).write_text("# nothing\n")
    code, output, errors = run(
        project, ("python", "-c", "import sys; print(sys.version_info[:2], sys.prefix)"),
        PYTHON=sys.executable, ENVIRONMENT=ENVIRONMENT_HERE)
    assert code == 0, errors
    assert output == f"{sys.version_info[:2]} {project / VENV_HERE}\n"


def test_warnings_of_pip_about_the_machine_are_not_passed_on(project):
    with zipfile.ZipFile(str(project / "nothing-1-py3-none-any.whl"), "w") as wheel:
        for name, text in (("METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1\n"),
                           ("WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"), ("RECORD", "")):
            wheel.writestr("nothing-1.dist-info/" + name, text)
    (project / REQUIREMENTS_HERE).write_text("# nothing\n")
    (project / "tests" / "requirements.txt").write_text("nothing==1\n")
    code, _, errors = run(project, ("python", "--version"), PYTHON=sys.executable,
                          ENVIRONMENT=ENVIRONMENT_HERE, PIP_NO_INDEX="1",
                          PIP_FIND_LINKS=f"/no/such/folder {project}")
    assert code == 0, errors
    assert errors == f"making the environment {VENV_HERE} with {sys.executable} ($PYTHON)\n"


def test_the_dockerfile_makes_the_environment_that_its_command_needs(project):
    """What it copies is copied, what it runs is run, into a folder of its own."""
    image = project / "image"
    add(project, dict(on_path(python3_7=GOOD, useradd="#!/bin/sh\n"), python37=GOOD))
    ran = []
    for line in open(os.path.join(checkout.ROOT, "Dockerfile"), encoding="utf-8"):
        word, _, rest = line.strip().partition(" ")
        if word == "COPY":
            owner, source, target = rest.split()
            os.makedirs(str(image / target), exist_ok=True)
            if source != ".":
                shutil.copy(os.path.join(checkout.ROOT, source), str(image / target))
        elif word == "RUN":
            os.makedirs(str(image), exist_ok=True)
            subprocess.check_call(["sh", "-e", "-c", rest], cwd=str(image),
                                  env={"PATH": str(project / "PATH"), "HOME": str(image)})
            ran.append(rest)
    assert ran == ["useradd --create-home uap", "sh utils/environment.sh python --version"]
    for name in ("requirements.txt", "tests/requirements.txt"):  # as COPY . brings them again
        shutil.copy(os.path.join(checkout.ROOT, name), str(image / name))
    code, _, errors = run(image, PATH=str(project / "PATH"))
    assert (code, errors) == (0, "")
