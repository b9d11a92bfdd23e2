#!/usr/bin/env bash
# Figs. 8 to 13 (appendix C): GDU curves of the layered networks, one sample.
# The published commands of Ernoult et al. 2019; further options are passed on, for example
# --data-dir. Seconds: of computation, without start-up and drawing, on one thread of an AMD EPYC.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

# Fig. 8, energy-based, 1 hidden layer, 1.3 s
"$PYTHON" main.py --action plotcurves --no-clamp --batch-size 1 --size_tab 10 512 784 \
    --activation-function tanh --dt 0.08 --beta 0.001 --T 800 --Kmax 80 "$@"

# Fig. 9, energy-based, 2 hidden layers, 3.3 s
"$PYTHON" main.py --action plotcurves --no-clamp --batch-size 1 --size_tab 10 512 512 784 \
    --activation-function tanh --dt 0.08 --beta 0.01 --T 5000 --Kmax 150 "$@"

# Fig. 10, energy-based, 3 hidden layers, 12.8 s
"$PYTHON" main.py --action plotcurves --no-clamp --batch-size 1 --size_tab 10 512 512 512 784 \
    --activation-function tanh --dt 0.08 --beta 0.02 --T 30000 --Kmax 200 "$@"

# Fig. 11, prototypical, 1 hidden layer, 0.2 s
"$PYTHON" main.py --action plotcurves --discrete --batch-size 1 --size_tab 10 512 784 \
    --activation-function tanh --beta 0.01 --T 150 --Kmax 10 "$@"

# Fig. 12, prototypical, 2 hidden layers, 1.5 s
"$PYTHON" main.py --action plotcurves --discrete --batch-size 1 --size_tab 10 512 512 784 \
    --activation-function tanh --beta 0.01 --T 1500 --Kmax 40 "$@"

# Fig. 13, prototypical, 3 hidden layers, 4.5 s
"$PYTHON" main.py --action plotcurves --discrete --batch-size 1 --size_tab 10 512 512 512 784 \
    --activation-function tanh --beta 0.015 --T 5000 --Kmax 40 "$@"
