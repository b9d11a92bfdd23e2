#!/usr/bin/env bash
# Fig. 16 (appendix D): relative RMSE of the convolutional network, 20 samples.
# The published commands of Ernoult et al. 2019; further options are passed on, for example
# --data-dir. Seconds: of computation, without start-up and drawing, on one thread of an AMD EPYC.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

# 35.9 s
"$PYTHON" main.py --action plotcurves --batch-size 20 --size_tab 10 --C_tab 64 32 1 \
    --activation-function hardsigm --beta 0.02 --T 5000 --Kmax 10 "$@"
