#!/usr/bin/env bash
# Gammell et al. 2021, Table 1: every run; the small data sets over 20 seeds.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
for data in diabetes wine; do
    for depth in 5 8; do
        for kind in mlff swni; do
            "$PYTHON" main.py --preset "${data}_${depth}layer_$kind" --trials 20 "$@"
        done
    done
done
for preset in mnist_3layer_mlff mnist_3layer_swni mnist_5layer_mlff mnist_5layer_swni \
    fmnist_5layer_mlff fmnist_5layer_swni; do
    "$PYTHON" main.py --preset "$preset" "$@"
done
