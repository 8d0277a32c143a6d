#!/usr/bin/env bash
#SBATCH --job-name=tpsp-bench-array
#SBATCH --array=1-4
#SBATCH --nodes=1
#SBATCH --ntasks=2
#SBATCH --time=00:30:00
#SBATCH --signal=B:USR1@400
#SBATCH --requeue
#
# A suite shared by the jobs of an array: results/slurm-<arrayid>/part-<i>.csv, .jsonl and .txt.
# Submit from the repository's root, with the program built:
#   sbatch [--array=1-N] slurm/array.sh [--suite NAME] [TPSP-BENCH-OPTION...]
# N is at most the number of lengths of all cases (smoke: 10, hpml: 3). Then: build/tpsp-bench merge results/slurm-<arrayid>/part-*.jsonl -o results/slurm-<arrayid>/all.jsonl
# One part again, into a folder of its own: sbatch --export=ALL,PARTS=4 --array=3 slurm/array.sh [the same options]
# TPSP_LAUNCHER=mpirun starts the ranks with mpirun, for a Slurm without PMIx.
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}"
# shellcheck source=slurm/common.sh
source slurm/common.sh

[ -n "${SLURM_ARRAY_TASK_ID:-}" ] || die "not a job of an array; submit it with sbatch"
# shellcheck disable=SC2153  # Slurm sets them
if [ -z "${PARTS:-}" ] && [ "$SLURM_ARRAY_TASK_MIN-$SLURM_ARRAY_TASK_MAX" != "1-$SLURM_ARRAY_TASK_COUNT" ]; then
  die "the array is not 1-N; say how many parts there are with PARTS"
fi
part=$SLURM_ARRAY_TASK_ID
run_ranks "results/slurm-$SLURM_ARRAY_JOB_ID" "part-$part" --suite smoke "$@" \
  --part "$part/${PARTS:-$SLURM_ARRAY_TASK_COUNT}"
