#!/usr/bin/env bash
# Train an equilibrium-propagation network on scikit-learn's digits: no download, under a minute.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
"$PYTHON" main.py --dataset digits --discrete --size_tab 10 256 64 --lr_tab 0.04 0.08 \
    --beta 0.1 --epochs 15 "$@"
