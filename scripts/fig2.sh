#!/usr/bin/env bash
# Fig. 2: GDU property in the energy-based setting, toy model.
# The published commands of Ernoult et al. 2019; further options are passed on, for example
# --data-dir. Seconds of computation, start-up and drawing apart, on 2 cores of an AMD EPYC (Zen 3).
set -euo pipefail
source "$(dirname "$0")/environment.sh"

"$PYTHON" main.py --action plotcurves --toymodel --no-clamp --batch-size 1 --size_tab 10 50 5 \
    --activation-function tanh --dt 0.08 --beta 0.01 --T 5000 --Kmax 80 "$@"
