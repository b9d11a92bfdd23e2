#!/usr/bin/env bash
# Row EB-2h of Table 1 of Ernoult et al. 2019: EP, then BPTT, on MNIST from the same initial weights.
# The options are those of the presets; `python main.py --list-presets EB-2h` says what differs from the
# published command and why. Further options are passed on, for example --seed 1.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
"$PYTHON" main.py --preset EB-2h "$@"
"$PYTHON" main.py --preset EB-2h-BPTT "$@"
