#!/bin/sh
# Run a command in the project's virtual environment, which is made first where it is missing.
#
#     sh utils/environment.sh python train_model.py --help
#
# The environment, .venv, is made from requirements.txt and tests/requirements.txt, and made anew
# when one of them changes. With ENVIRONMENT=tf115 it is .venv-tf115, and the second file
# tests/requirements-tf115.txt, whose pins replace those of the first.
#
# It needs a Python 3.7, the last that TensorFlow 1.14 runs on: $PYTHON, or else the first of these
# that makes a working environment, or the one that PYTHON_SOURCE names:
#     python3.7   of the PATH
#     pyenv       its newest 3.7
#     uv          fetches one into .venv-uv; where uv is absent or too new, it is fetched, too
#     conda       or micromamba or mamba: makes one in .venv-conda, from conda-forge only
set -eu
cd "$(dirname "$0")/.."

suffix=${ENVIRONMENT:+-$ENVIRONMENT}
venv=.venv$suffix
second=tests/requirements$suffix.txt
LAST_UV=0.6.17  # that offers a Python 3.7

make_venv() {  # SOURCE PYTHON: make $venv with PYTHON if it is a whole 3.7, and say so
    command -v "$2" >/dev/null 2>&1 || return 1
    if "$2" -c 'import ssl, sys; sys.exit(sys.version_info[:2] != (3, 7))' >/dev/null 2>&1 &&
        "$2" -m venv "$venv" >/dev/null 2>&1 && "$venv/bin/python" -m pip --version >/dev/null 2>&1
    then
        echo "making the environment $venv with $2 ($1)" >&2
    else
        rm -rf "$venv"
        echo "passed over: $2 ($1) is not a Python 3.7 with ssl, venv and pip" >&2
        return 1
    fi
}

from_pyenv() {
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.7.*/bin/python | sort -rV |
        while read -r python; do
            make_venv pyenv "$python" && break
        done
    [ -d "$venv" ]
}

from_uv() {  # which renames a whole Python into .venv-uv, or leaves nothing there
    set -- .venv-uv/cpython-3.7.9-*/bin/python3.7
    make_venv uv "$1" && return
    for uv in uv "uv tool run uv@$LAST_UV" .venv-uv/uv/bin/uv; do
        if [ "$uv" = .venv-uv/uv/bin/uv ] && command -v python3 >/dev/null 2>&1; then
            python3 -m pip install --quiet --quiet --disable-pip-version-check --upgrade \
                --target .venv-uv/uv "uv==$LAST_UV" >&2 || continue
        fi
        command -v "${uv%% *}" >/dev/null 2>&1 || continue
        # shellcheck disable=SC2086  # a command of several words
        $uv python install --install-dir .venv-uv 3.7.9 >&2 || continue
        set -- .venv-uv/cpython-3.7.9-*/bin/python3.7
        make_venv uv "$1" && return
    done
    return 1
}

from_conda() {  # an interrupted one leaves a Python that starts: only .venv-conda/whole tells
    [ -e .venv-conda/whole ] && make_venv conda .venv-conda/bin/python && return
    for conda in micromamba mamba conda; do
        command -v "$conda" >/dev/null 2>&1 || continue
        rm -rf .venv-conda
        "$conda" create -y -q -p "$PWD/.venv-conda" --override-channels -c conda-forge \
            python=3.7 >&2 &&
            make_venv conda .venv-conda/bin/python && touch .venv-conda/whole && return
    done
    return 1
}

make_venv_from() {
    case $1 in
        python3.7) make_venv PATH python3.7 ;;
        pyenv | uv | conda) "from_$1" ;;
        *) echo "error: PYTHON_SOURCE is $1; expected python3.7, pyenv, uv or conda" >&2; exit 2 ;;
    esac
}

make_environment() {
    if [ "$(uname -m)" != x86_64 ]; then
        echo "error: TensorFlow 1.14 exists for x86-64 only, this is $(uname -m); with Docker:" >&2
        echo "  docker build -t uap . && docker run uap" >&2
        exit 2
    fi
    rm -rf "$venv"
    if [ -n "${PYTHON:-}" ]; then
        make_venv "\$PYTHON" "$PYTHON" && return
        echo "error: \$PYTHON is $PYTHON, which is not a working Python 3.7" >&2
        exit 2
    fi
    sources=${PYTHON_SOURCE:-python3.7 pyenv uv conda}
    for source in $sources; do
        make_venv_from "$source" && return
    done
    echo "error: no working Python 3.7 (tried $sources); do one of these:" >&2
    echo "  docker build -t uap . && docker run uap     (needs nothing else)" >&2
    echo "  pyenv install 3.7.16, or install uv or micromamba, or set PYTHON=/path/to/python3.7;" \
        "then the same command again" >&2
    exit 2
}

pins=$(cat requirements.txt "$second" | cksum)
is_current() {
    [ -x "$venv/bin/python" ] && [ "$(cat "$venv/pins" 2>/dev/null || true)" = "$pins" ]
}
if ! is_current; then
    exec 9> "$venv.lock"
    flock 9 2>/dev/null || true  # another command may be making it; not every system has flock
fi
if ! is_current; then
    make_environment
    sed -n 's/^\([a-z].*==\).*/^\1/p' "$second" | grep -v -f - requirements.txt > "$venv/first.txt"
    # quiet twice: errors are shown, pip's warnings about this machine's configuration are not
    "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
        -r "$venv/first.txt" -r "$second" >&2
    echo "$pins" > "$venv/pins"  # last: whatever lacks it is made anew
fi
exec 9>&-
PATH="$PWD/$venv/bin:$PATH"
export PATH
unset ENVIRONMENT
exec "$@"
