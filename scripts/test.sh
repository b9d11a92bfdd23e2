#!/usr/bin/env bash
# Install what the tests need and run them, in one process a core (8 at most) of one thread each.
# What is typed goes on to pytest: a file, -k WORD, -n 0 for one after the other.
set -euo pipefail
REQUIREMENTS=requirements-dev.txt
source "$(dirname "$0")/environment.sh"
OMP_NUM_THREADS=1 "$PYTHON" -m pytest -n auto --maxprocesses 8 --dist worksteal "$@"
