#!/usr/bin/env bash
# Gammell et al. 2021, Fig. 4: error and spread of the corrections against p, 5 x 100 networks, MNIST.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
"$PYTHON" main.py --preset mnist_5layer_swni --epochs 10 \
    --sweep bypass_p 0 0.0001 0.0005 0.001 0.0025 0.005 0.01 0.02 0.05 0.1 0.2 0.5 "$@"
