# Sourced by the other scripts: sets $PYTHON to an interpreter that has what the project needs.
# With PYTHON set beforehand that one is used as it is; otherwise .venv is made and filled as needed.
# $REQUIREMENTS names the list (requirements.txt unless set).

# Without a GPU, on Linux, uv is asked for torch's CPU build, of which it knows where it is; where that
# cannot be reached, pip takes the build for GPUs, which works as well and is some times as large.
# Both compile what they install, once, instead of every process at its first import.

install() { # of the list
    if [ "$(uname)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
        "$PYTHON" -m pip install --quiet --disable-pip-version-check uv &&
            "$PYTHON" -m uv pip install --quiet --python "$PYTHON" --torch-backend cpu --compile-bytecode -r "$1" &&
            return
        echo "torch's CPU build cannot be had here: taking the one for GPUs" >&2
    fi
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$1"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
REQUIREMENTS=${REQUIREMENTS:-requirements.txt}

if [ -z "${PYTHON:-}" ]; then
    PYTHON=$PWD/.venv/bin/python
    stamp=.venv/.installed-$REQUIREMENTS
    if [ ! -x "$PYTHON" ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "Python 3.11 or newer is needed, python3 is $(python3 --version 2>&1)" >&2
            exit 2
        }
        python3 -m venv .venv
    fi
    if [ ! -f "$stamp" ] || [ "$REQUIREMENTS" -nt "$stamp" ] || [ requirements.txt -nt "$stamp" ]; then
        echo "installing $REQUIREMENTS into .venv (once; torch is large)"
        install "$REQUIREMENTS"
        touch "$stamp"
    fi
fi
export PYTHON
