#!/usr/bin/env bash
# DEEP beside asymmetric EP on AND, OR and XOR, 100 networks each, and their angle to the gradient.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
for task in and or xor; do
    for preset in "deep-$task" "asym-$task" "asym-$task-tuned"; do
        "$PYTHON" main.py --preset "$preset" --num_net 100 --seed 1 "$@"
    done
    "$PYTHON" main.py --preset "asym-$task-tuned" --sparse --regularized --init-state 0 \
        --epochs 1000 --num_net 100 --seed 1 "$@"
done
for preset in deep-xor-published deep-xor-one-hot; do
    "$PYTHON" main.py --preset "$preset" --num_net 100 --seed 1 "$@"
done
for method in DEEP asymEP; do
    "$PYTHON" main.py --action plotcurves --training-method "$method" --dataset xor --num_net 20 \
        --seed 1 "$@"
done
