#!/usr/bin/env bash
#SBATCH --job-name=tpsp-bench-nodes
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=12
#SBATCH --time=00:30:00
#SBATCH --signal=B:USR1@400
#SBATCH --requeue
#
# LLaMA 7B in bf16 over all GPUs of several nodes, both plans: results/slurm-<jobid>/results.csv, .jsonl and .txt.
# Submit from the repository's root, with the program built:
#   sbatch [--nodes=N --ntasks-per-node=G --gpus-per-node=G] slurm/multi_node.sh [TPSP-BENCH-OPTION...]
# --seq and --plan add to those below; other options replace them. Add --partition and --mem as your cluster wants them.
# Nodes without GPUs: sbatch --gpus-per-node=0 slurm/multi_node.sh --device cpu
# TPSP_LAUNCHER=mpirun starts the ranks with mpirun, for a Slurm without PMIx.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}"
# shellcheck source=slurm/common.sh
source slurm/common.sh

run_ranks "results/slurm-${SLURM_JOB_ID:-none-$$}" results --tp --sp --device cuda --model llama-7b --layers 32 \
  --dtype bf16 --batch 2 --seq 1024,2048,4096 "$@"
