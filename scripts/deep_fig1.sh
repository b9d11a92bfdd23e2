#!/usr/bin/env bash
# Tristany Farinha et al. 2020, Fig. 1: MSE per epoch of ten DEEP networks on AND, OR and XOR.
# XOR twice: with the published settings, and with settings with which most networks learn it.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
for preset in deep-and deep-or deep-xor-published deep-xor; do
    "$PYTHON" main.py --preset "$preset" "$@"
done
