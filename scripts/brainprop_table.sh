#!/usr/bin/env bash
# Pozzi et al. 2020: every pair of data set and network, BrainProp beside error backpropagation,
# ten seeds each (days on a CPU; `--trials 1 --epochs 10` for a first look).
set -euo pipefail
source "$(dirname "$0")/environment.sh"
run() {
    "$PYTHON" main.py --dataset "$1" --architecture "$2" --benchmark --trials 10 "${@:3}"
}
for network in dense loccon conv; do run mnist "$network" "$@"; done
for data in cifar10 cifar100; do
    for network in loccon conv deep; do run "$data" "$network" "$@"; done
done
run tiny-imagenet deep "$@"
