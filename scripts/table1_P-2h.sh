#!/usr/bin/env bash
# Row P-2h of Table 1 of Ernoult et al. 2019: EP and BPTT on MNIST from the same weights.
# The options are those of the preset; `python main.py --list-presets P-2h` says what differs from the
# published command and why. Further options are passed on, for example --seed 1.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
"$PYTHON" main.py --preset P-2h "$@"
