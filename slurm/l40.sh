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
# LLaMA 7B in fp32 on two L40s, both plans: results/slurm-<jobid>/results.csv and .jsonl, and log.txt next to it.
# Submit from the repository's root, with the program built: sbatch slurm/l40.sh [TPSP-BENCH-OPTION...]
# TPSP_LAUNCHER=mpirun starts the ranks with mpirun, for a Slurm without PMIx.
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:-$(dirname "${BASH_SOURCE[0]}")/..}"
die() { printf 'slurm/l40.sh: %s\n' "$*" >&2; exit 2; }

program=build/tpsp-bench
[ -x "$program" ] ||
  die "no $program in $PWD; submit from the repository's root, after scripts/setup.sh," \
    "'.venv/bin/cmake --preset release' and '.venv/bin/cmake --build --preset release'"

case "${TPSP_LAUNCHER:-srun}" in
  srun) launch=(srun --mpi=pmix --ntasks=2 --cpus-per-task="${SLURM_CPUS_PER_TASK:-24}") ;;
  mpirun) launch=(mpirun -n 2 --bind-to none) ;;  # by itself mpirun gives each rank a single core
  *) die "TPSP_LAUNCHER is '$TPSP_LAUNCHER'; the choices are srun, mpirun" ;;
esac
export -n TPSP_LAUNCHER  # the program would look for an option of that name

folder=results/slurm-${SLURM_JOB_ID:-none}
mkdir -p "$folder"
"${launch[@]}" "$program" --tp --sp --device cuda --model llama-7b --layers 32 --dtype fp32 --batch 2 \
  --seq 256,512,1024 --out "$folder/results.csv" --out "$folder/results.jsonl" "$@" 2>&1 | tee "$folder/log.txt"
