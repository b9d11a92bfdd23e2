#!/usr/bin/env bash
# Install what the tests need and run them, in processes of one thread each: one more than there are
# cores, since many tests wait for a process that they have started (8 at most). One process does all
# tests of a file, which share what takes seconds to make.
# What is typed goes on to pytest: a file, -k WORD, -n 0 for one after the other.
set -euo pipefail
REQUIREMENTS=requirements-dev.txt
source "$(dirname "$0")/environment.sh"
workers=$("$PYTHON" -c 'import os; print(min(8, 1 + (os.cpu_count() or 1)))')
unset PYTHONDONTWRITEBYTECODE  # of hundreds of processes only the first compiles the program
OMP_NUM_THREADS=1 "$PYTHON" -m pytest -n "$workers" --dist loadfile --no-loadscope-reorder "$@"
