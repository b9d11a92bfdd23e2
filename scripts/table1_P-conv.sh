#!/usr/bin/env bash
# Row P-conv of Table 1 of Ernoult et al. 2019: EP and BPTT on MNIST from the same weights.
# The options are those of the preset; `python main.py --list-presets P-conv` says what differs from the
# published command and why. Further options are passed on, for example --seed 1.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
"$PYTHON" main.py --preset P-conv "$@"
