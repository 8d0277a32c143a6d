#!/usr/bin/env bash
#SBATCH --job-name=tpsp-bench-cpu
#SBATCH --nodes=1
#SBATCH --ntasks=2
#SBATCH --time=00:30:00
#SBATCH --signal=B:USR1@400
#SBATCH --requeue
#
# The default case on CPUs, two ranks: results/slurm-<jobid>/results.csv, .jsonl and .txt.
# Submit from the repository's root, with the program built:
#   sbatch [--cpus-per-task=N] slurm/cpu.sh [TPSP-BENCH-OPTION...]
# TPSP_LAUNCHER=mpirun starts the ranks with mpirun, for a Slurm without PMIx.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}"
# shellcheck source=slurm/common.sh
source slurm/common.sh

run_ranks "results/slurm-${SLURM_JOB_ID:-none-$$}" results --device cpu "$@"
