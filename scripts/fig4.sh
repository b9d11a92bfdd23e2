#!/usr/bin/env bash
# Fig. 4: GDU property of the convolutional network.
# The published commands of Ernoult et al. 2019; further options are passed on, for example
# --data-dir. Seconds: of computation, without start-up and drawing, on one thread of an AMD EPYC.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

# 8.2 s
"$PYTHON" main.py --action plotcurves --batch-size 1 --size_tab 10 --C_tab 64 32 1 --activation-function \
    hardsigm --beta 0.02 --T 5000 --Kmax 10 "$@"
