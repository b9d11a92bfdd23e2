# Sourced by the other scripts: sets $PYTHON to an interpreter that has what the project needs.
# With PYTHON set beforehand that one is used as it is; otherwise .venv is made and filled as needed.
# $REQUIREMENTS names the list (requirements.txt unless set).

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
        "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$REQUIREMENTS"
        touch "$stamp"
    fi
fi
export PYTHON
