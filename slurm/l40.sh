#!/usr/bin/env bash
#SBATCH --job-name=tpsp-bench
#SBATCH --partition=gpu
#SBATCH --nodes=1
#SBATCH --gres=gpu:l40:2
#SBATCH --ntasks=2
#SBATCH --cpus-per-task=24
#SBATCH --mem=192G
#SBATCH --time=00:20:00
#
# LLaMA 7B in fp32 on two L40s, both plans: results/slurm-<jobid>/results.csv, .jsonl and .txt.
# Submit from the repository's root, with the program built: sbatch slurm/l40.sh [TPSP-BENCH-OPTION...]
# --seq and --plan add to those below; other options replace them.
# With sbatch --signal=B:USR1@400 --requeue it is queued again where its time is too short, and goes on.
# TPSP_LAUNCHER=mpirun starts the ranks with mpirun, for a Slurm without PMIx.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}"
# shellcheck source=slurm/common.sh
source slurm/common.sh

run_ranks "results/slurm-${SLURM_JOB_ID:-none-$$}" results --tp --sp --device cuda --model llama-7b --layers 32 \
  --dtype fp32 --batch 2 --seq 256,512,1024 "$@"
