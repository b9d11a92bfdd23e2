#!/usr/bin/env bash
# Draw the figures of docs/ again: `bash scripts/draw_docs.sh fig2_synapses` the named ones, without
# a name all of them, which takes ten minutes. Options after -- are passed on, such as --data-dir;
# without MNIST name those that need none.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
place=$(mktemp -d)
trap 'rm -r "$place"' EXIT

names=() more=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do names+=("$1"); shift; done
[ $# -gt 0 ] && shift && more=("$@")
[ ${#names[@]} -gt 0 ] ||
    names=(fig2_synapses deep_angle deep_and_sparse skips_compared brainprop_conv
        corrections_layered corrections_skips skips_sweep relaxed_and_stepped reproduction)

run() { "$PYTHON" main.py "$@" "${more[@]}" --results-dir "$place/$name" --quiet; }
take() { cp "$place/$name"/*/*/*/"$1" "docs/$name.png"; }

for name in "${names[@]}"; do
    case "$name" in
    fig2_synapses) # seconds
        run --action plotcurves --toymodel --no-clamp --batch-size 1 --size_tab 10 50 5 \
            --activation-function tanh --dt 0.08 --beta 0.01 --T 5000 --Kmax 80
        take synapses.png ;;
    deep_angle) # half a minute
        run --action plotcurves --training-method DEEP --dataset xor --num_net 20 --seed 1
        take angle_DEEP.png ;;
    deep_and_sparse) # two minutes
        run --preset deep-and-sparse --num_net 100 --seed 1
        take graph_DEEP.png ;;
    skips_compared | brainprop_conv | relaxed_and_stepped) # from the table of its page
        "$PYTHON" scripts/draw_tables.py "$name" ;;
    corrections_layered | corrections_skips) # minutes
        declare -A preset=([corrections_layered]=mnist_5layer_mlff [corrections_skips]=mnist_5layer_swni)
        run --preset "${preset[$name]}" --train-samples 6000 --epochs 10
        take corrections.png ;;
    skips_sweep) # two minutes
        run --preset mnist_5layer_swni --train-samples 6000 --epochs 1 \
            --sweep bypass_p 0 0.001 0.01 0.05 0.1 0.2
        cp "$place/$name"/*/*/Runs-1/sweep.png "docs/$name.png" ;;
    reproduction) # its learning curves, from the rows that are kept
        "$PYTHON" -c "from pathlib import Path; from report.reproduction import Kept
from report.reproductionPage import write_page
write_page(Kept.read(Path('docs/reproduction')), Path('docs/reproduction.md'))" ;;
    *)
        echo "draw_docs.sh: error: there is no figure $name to draw" >&2
        exit 2 ;;
    esac
done
