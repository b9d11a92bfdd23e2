#!/usr/bin/env bash
# Gammell et al. 2021, Fig. 2 and 3: errors and corrections of the 3 x 500 networks on MNIST.
# The figures of each run are in its folder, all errors together in results/skips_fig2/compared.png.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
for preset in mnist_3layer_mlff mnist_3layer_swni mnist_3layer_mlffpl; do
    "$PYTHON" main.py --preset "$preset" --results-dir "results/skips_fig2/$preset" "$@"
done
"$PYTHON" plotFunctions.py results/skips_fig2
