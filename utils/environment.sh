#!/bin/sh
# Run a command in the project's virtual environment, which is made first where it is missing.
#
#     sh utils/environment.sh python train_model.py --help
#
# The environment, .venv, is made from requirements.txt and tests/requirements.txt and is made anew
# when one of them changes. With ENVIRONMENT=benchmark it is .venv-benchmark, and the second file
# tests/requirements-benchmark.txt. It needs a Python 3.7, the last that TensorFlow 1.14 runs on: $PYTHON,
# else python3.7, else the newest 3.7 of pyenv, else one that conda makes.
set -eu
cd "$(dirname "$0")/.."

is_python37() {
    "$1" -c 'import sys, venv, ssl; sys.exit(sys.version_info[:2] != (3, 7))' >/dev/null 2>&1
}

find_python37() {
    if [ -n "${PYTHON:-}" ]; then
        is_python37 "$PYTHON" && echo "$PYTHON" && return
        echo "error: \$PYTHON is $PYTHON, which is not a working Python 3.7" >&2
        exit 2
    fi
    for candidate in python3.7 \
        $(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.7.*/bin/python 2>/dev/null | sort -rV); do
        is_python37 "$candidate" && echo "$candidate" && return
    done
    if command -v conda >/dev/null 2>&1; then
        [ -x .venv-conda/bin/python ] || conda create -y -q -p "$PWD/.venv-conda" python=3.7 >&2 || true
        is_python37 .venv-conda/bin/python && echo "$PWD/.venv-conda/bin/python" && return
    fi
    echo "error: no Python 3.7 found (looked at \$PYTHON, python3.7, pyenv, conda)" >&2
    echo "with pyenv:  pyenv install 3.7.16       with conda:  conda create -n py37 python=3.7" >&2
    echo "then again, if it is not found by itself:  PYTHON=/path/to/python3.7 make demo" >&2
    exit 2
}

suffix=${ENVIRONMENT:+-$ENVIRONMENT}
venv=.venv$suffix
pins=$(cat requirements.txt "tests/requirements$suffix.txt" | cksum)
if [ ! -x "$venv/bin/python" ] || [ "$(cat "$venv/pins" 2>/dev/null || true)" != "$pins" ]; then
    python=$(find_python37)
    echo "making the environment $venv with $python" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r requirements.txt -r "tests/requirements$suffix.txt" >&2
    echo "$pins" > "$venv/pins"
fi
PATH="$PWD/$venv/bin:$PATH"
export PATH
exec "$@"
