#!/usr/bin/env bash
# Tristany Farinha et al. 2020, Fig. 2: the connections that sparsification leaves.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
for preset in deep-and-sparse deep-or-sparse deep-xor-sparse; do
    "$PYTHON" main.py --preset "$preset" --num_net 100 --seed 1 "$@"
done
