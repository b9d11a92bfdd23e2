#!/usr/bin/env bash
# Measure every row of the five papers' tables that has not been measured yet, and write
# docs/reproduction.md. After any end the same command goes on. Names of papers choose (ernoult,
# gammell, directed, brainprop); --quick does a tenth of each, --dry-run says what is left.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
exec "$PYTHON" -m runs.reproduce "$@"
