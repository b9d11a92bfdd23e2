#!/usr/bin/env bash
# Gammell et al. 2021, Fig. 5: where the 5 x 100 networks change, layered and with skips, MNIST.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
for preset in mnist_5layer_mlff mnist_5layer_swni; do
    "$PYTHON" main.py --preset "$preset" "$@"
done
