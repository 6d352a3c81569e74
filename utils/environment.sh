#!/bin/sh
# Run a command in one of the project's virtual environments, which is made first where it is missing.
#
#     sh utils/environment.sh python train_model.py --help
#     ENVIRONMENT=tf2 sh utils/environment.sh python train_model.py --help
#
# ENVIRONMENT      folder           made from                  Python
# none             .venv            requirements.txt           3.7, the last that TensorFlow 1.14 has
# tf2              .venv-tf2        requirements-tf2.txt       3.12, or else 3.13, 3.11 or 3.10
# tf2-gpu          .venv-tf2-gpu    requirements-tf2.txt,      the same
#                                   requirements-tf2-gpu.txt
#
# and from tests/requirements.txt; it is made anew when one of its files changes. The Python is
# $PYTHON, or else the first of these that makes a working environment, or the one that PYTHON_SOURCE
# names; the first two are asked for one version after the other, before any is fetched:
#     PATH        such as python3.7
#     pyenv       the newest that it has of that version
#     uv          fetches one into .venv-uv; where uv is absent or too new, it is fetched, too
#     conda       or micromamba or mamba: makes one in .venv-conda..., from conda-forge only
set -eu
cd "$(dirname "$0")/.."

suffix=${ENVIRONMENT:+-$ENVIRONMENT}
venv=.venv$suffix
conda_folder=.venv-conda$suffix
LAST_UV=0.6.17  # that offers a Python 3.7
versions="3.12 3.13 3.11 3.10" expected="3.10 to 3.13" whole_version=3.12.10
case ${ENVIRONMENT:-} in
    "") files=requirements.txt versions=3.7 expected=3.7 whole_version=3.7.9 ;;
    tf2) files=requirements-tf2.txt ;;
    tf2-gpu) files="requirements-tf2.txt requirements-tf2-gpu.txt" ;;
    *) echo "error: ENVIRONMENT is $ENVIRONMENT; expected tf2, tf2-gpu, or nothing" >&2; exit 2 ;;
esac
files="$files tests/requirements.txt"
version=${versions%% *}  # that is fetched

make_venv() {  # SOURCE PYTHON: make $venv with PYTHON if it is whole and of $versions, and say so
    command -v "$2" >/dev/null 2>&1 || return 1
    # shellcheck disable=SC2086  # several versions
    if "$2" -c 'import ssl, sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])' \
            $versions >/dev/null 2>&1 &&
        "$2" -m venv "$venv" >/dev/null 2>&1 && "$venv/bin/python" -m pip --version >/dev/null 2>&1
    then
        echo "making the environment $venv with $2 ($1)" >&2
    else
        rm -rf "$venv"
        echo "passed over: $2 ($1) is not a working Python $expected with ssl, venv and pip" >&2
        return 1
    fi
}

from_PATH() {  # VERSION
    make_venv PATH "python$1"
}

from_pyenv() {  # VERSION
    printf '%s\n' "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python | sort -rV |
        while read -r python; do
            make_venv pyenv "$python" && break
        done
    [ -d "$venv" ]
}

from_uv() {  # which renames a whole Python into .venv-uv, or leaves nothing there
    set -- ".venv-uv/cpython-$whole_version-"*"/bin/python$version"
    make_venv uv "$1" && return
    for uv in uv "uv tool run uv@$LAST_UV" .venv-uv/uv/bin/uv; do
        if [ "$uv" = .venv-uv/uv/bin/uv ] && command -v python3 >/dev/null 2>&1; then
            python3 -m pip install --quiet --quiet --disable-pip-version-check --upgrade \
                --target .venv-uv/uv "uv==$LAST_UV" >&2 || continue
        fi
        command -v "${uv%% *}" >/dev/null 2>&1 || continue
        # shellcheck disable=SC2086  # a command of several words
        $uv python install --install-dir .venv-uv "$whole_version" >&2 || continue
        set -- ".venv-uv/cpython-$whole_version-"*"/bin/python$version"
        make_venv uv "$1" && return
    done
    return 1
}

from_conda() {  # an interrupted one leaves a Python that starts: only the file `whole` tells
    [ -e "$conda_folder/whole" ] && make_venv conda "$conda_folder/bin/python" && return
    for conda in micromamba mamba conda; do
        command -v "$conda" >/dev/null 2>&1 || continue
        rm -rf "$conda_folder"
        "$conda" create -y -q -p "$PWD/$conda_folder" --override-channels -c conda-forge \
            "python=$version" >&2 &&
            make_venv conda "$conda_folder/bin/python" && touch "$conda_folder/whole" && return
    done
    return 1
}

OTHER="  ENVIRONMENT=tf2 before the same command     (today's TensorFlow, on Python 3.10 to 3.13)"
DOCKER="  docker build -t uap . && docker run uap     (needs nothing else)"

make_environment() {
    if [ "$version" = 3.7 ] && [ "$(uname -m)" != x86_64 ]; then
        echo "error: TensorFlow 1.14 exists for x86-64 only, this is $(uname -m); do one of these:" >&2
        printf '%s\n' "$OTHER" "$DOCKER" >&2
        exit 2
    fi
    rm -rf "$venv"
    if [ -n "${PYTHON:-}" ]; then
        make_venv "\$PYTHON" "$PYTHON" && return
        echo "error: \$PYTHON is $PYTHON, which is not a working Python $expected" >&2
        exit 2
    fi
    sources=${PYTHON_SOURCE:-PATH pyenv uv conda}
    case $sources in
        PATH | pyenv | uv | conda | "PATH pyenv uv conda") ;;
        *) echo "error: PYTHON_SOURCE is $sources; expected PATH, pyenv, uv or conda" >&2; exit 2 ;;
    esac
    for each in $versions; do
        for source in $sources; do
            case $source in PATH | pyenv) "from_$source" "$each" && return ;; esac
        done
    done
    for source in $sources; do
        case $source in uv | conda) "from_$source" && return ;; esac
    done
    echo "error: no working Python $expected (tried $sources); do one of these:" >&2
    [ "$version" != 3.7 ] || printf '%s\n' "$OTHER" "$DOCKER" >&2
    echo "  pyenv install $version, or install uv or micromamba, or set PYTHON=/path/to/python$version" >&2
    exit 2
}

# shellcheck disable=SC2086  # several files
pins=$(cat $files | cksum)
is_current() {
    [ -x "$venv/bin/python" ] && [ "$(cat "$venv/pins" 2>/dev/null || true)" = "$pins" ]
}
if ! is_current; then
    exec 9> "$venv.lock"
    flock 9 2>/dev/null || true  # another command may be making it; not every system has flock
fi
if ! is_current; then
    make_environment
    # quiet twice: errors are shown, pip's warnings about this machine's configuration are not
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check \
        $(printf -- "-r %s " $files) >&2
    echo "$pins" > "$venv/pins"  # last: whatever lacks it is made anew
fi
exec 9>&-
PATH="$PWD/$venv/bin:$PATH"
export PATH
unset ENVIRONMENT
exec "$@"
