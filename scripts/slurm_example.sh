#!/usr/bin/env bash
# How to use a cluster with Slurm, both ways; adapt the #SBATCH lines and hand it to sbatch.
#
#   sbatch scripts/slurm_example.sh torchrun --preset mnist_3layer_swni     # one network, all nodes
#   sbatch scripts/slurm_example.sh dask --preset wine_5layer_swni --trials 100   # a run per worker
#
# The folder of the project, with its .venv, and that of the results are seen by every node.
#SBATCH --job-name=equilibrium
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}"
REQUIREMENTS=requirements.txt
source scripts/environment.sh

way=${1:?"say torchrun or dask first, then the options of main.py"}
shift
workers=${SLURM_CPUS_PER_TASK:-1} # of a node; with GPUs as many as there are, and --device-label 0
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

case $way in
torchrun)
    # Every process takes its share of each batch. A job that was ended goes on with
    #   sbatch scripts/slurm_example.sh torchrun --resume FOLDER
    srun "$PYTHON" -m torch.distributed.run --nnodes "$SLURM_NNODES" --nproc-per-node "$workers" \
        --rdzv-backend c10d --rdzv-endpoint "$first:29500" --rdzv-id "$SLURM_JOB_ID" main.py "$@"
    ;;
dask)
    # One process asks for the runs, the workers do them; --resume FOLDER does what is missing.
    "$PYTHON" -m pip install --quiet "dask[distributed]"
    "$PYTHON" -m distributed.cli.dask_scheduler --port 8786 &
    srun "$PYTHON" -m distributed.cli.dask_worker "tcp://$first:8786" --nworkers "$workers" \
        --nthreads 1 --no-dashboard &
    trap 'kill $(jobs -p)' EXIT
    "$PYTHON" main.py --backend dask --scheduler "tcp://$first:8786" "$@"
    ;;
*)
    echo "$way: say torchrun or dask first, then the options of main.py" >&2
    exit 2
    ;;
esac
