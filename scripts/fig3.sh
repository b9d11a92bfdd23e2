#!/usr/bin/env bash
# Fig. 3: relative RMSE per layer, energy-based and prototypical setting, 1 to 3 hidden layers.
# The published commands of Ernoult et al. 2019; further options are passed on, for example
# --data-dir. Seconds: of computation, without start-up and drawing, on one thread of an AMD EPYC.
set -euo pipefail
source "$(dirname "$0")/environment.sh"

# energy-based, 1 hidden layer, 0.8 s
"$PYTHON" main.py --action plotcurves --no-clamp --batch-size 20 --size_tab 10 512 784 \
    --activation-function tanh --dt 0.08 --beta 0.001 --T 800 --Kmax 80 "$@"

# energy-based, 2 hidden layers, 6.6 s
"$PYTHON" main.py --action plotcurves --no-clamp --batch-size 20 --size_tab 10 512 512 784 \
    --activation-function tanh --dt 0.08 --beta 0.01 --T 5000 --Kmax 150 "$@"

# energy-based, 3 hidden layers, 53.4 s
"$PYTHON" main.py --action plotcurves --no-clamp --batch-size 20 --size_tab 10 512 512 512 784 \
    --activation-function tanh --dt 0.08 --beta 0.02 --T 30000 --Kmax 200 "$@"

# prototypical, 1 hidden layer, 0.2 s
"$PYTHON" main.py --action plotcurves --discrete --batch-size 20 --size_tab 10 512 784 \
    --activation-function tanh --beta 0.01 --T 150 --Kmax 10 "$@"

# prototypical, 2 hidden layers, 1.5 s
"$PYTHON" main.py --action plotcurves --discrete --batch-size 1 --size_tab 10 512 512 784 \
    --activation-function tanh --beta 0.01 --T 1500 --Kmax 40 "$@"

# prototypical, 3 hidden layers, 4.5 s
"$PYTHON" main.py --action plotcurves --discrete --batch-size 1 --size_tab 10 512 512 512 784 \
    --activation-function tanh --beta 0.015 --T 5000 --Kmax 40 "$@"
