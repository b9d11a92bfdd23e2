#!/usr/bin/env bash
# Install what the tests need and run them all.
set -euo pipefail
REQUIREMENTS=requirements-dev.txt
source "$(dirname "$0")/environment.sh"
"$PYTHON" -m pytest "$@"
