#!/usr/bin/env bash
# Fig. 2: GDU property in the energy-based setting, toy model.
# The published commands of Ernoult et al. 2019; further options are passed on, for example
# --data-dir. Seconds: of computation, without start-up and drawing, on one thread of an AMD EPYC.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

# 1.3 s
"$PYTHON" main.py --action plotcurves --toymodel --no-clamp --batch-size 1 --size_tab 10 50 5 \
    --activation-function tanh --dt 0.08 --beta 0.01 --T 5000 --Kmax 80 "$@"
