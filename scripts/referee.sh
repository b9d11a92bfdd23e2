#!/usr/bin/env bash
# Every learning rule on the same data, the same sizes and the same budget: a table, figures and a
# page. Digits and three seeds unless told otherwise; further options are passed on, for example
# --datasets mnist fashion-mnist --data-dir DIR --epochs 10 --minutes 20, or --resume FOLDER.
set -euo pipefail
source "$(dirname "$0")/environment.sh"
"$PYTHON" main.py --action compare --jobs 2 "$@"
