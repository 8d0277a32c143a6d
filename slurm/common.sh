# What the job scripts have in common. Sourced from the repository's root.
# shellcheck shell=bash

die() { printf 'slurm: %s\n' "$*" >&2; exit 2; }

program=build/tpsp-bench
[ -x "$program" ] ||
  die "no $program in $PWD; submit from the repository's root, after scripts/setup.sh," \
    "'.venv/bin/cmake --preset release' and '.venv/bin/cmake --build --preset release'"

tasks=${SLURM_NTASKS:-${SLURM_NPROCS:-2}}
case "${TPSP_LAUNCHER:-srun}" in
  srun) launch=(srun --mpi=pmix --ntasks="$tasks" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}") ;;
  mpirun) launch=(mpirun -n "$tasks" --bind-to none) ;;  # by itself mpirun gives each rank a single core
  *) die "TPSP_LAUNCHER is '$TPSP_LAUNCHER'; the choices are srun, mpirun" ;;
esac
export -n TPSP_LAUNCHER  # the program would look for an option of that name

# Slurm sends the script SIGUSR1 before the job's time is up (--signal=B:USR1@120). srun and mpirun hand it on to the
# ranks, which end after their case.
launcher=
trap '[ -z "$launcher" ] || kill -USR1 "$launcher"' USR1

# Runs the program with the job's ranks. A job that was started before goes on where it was ended: by SIGUSR1, after which
# it is queued again, or by the loss of a node.
run_ranks() {  # FOLDER NAME TPSP-BENCH-OPTION...: rows in FOLDER/NAME.csv and .jsonl, what it prints in FOLDER/NAME.txt
  local folder=$1 name=$2 code=0 log=$1/$2.txt before=0
  shift 2
  mkdir -p "$folder"
  if [ -e "$log" ]; then before=$(wc -c <"$log"); fi
  echo "slurm: what it prints is in $log"
  "${launch[@]}" "$program" --out "$folder/$name.csv" --out "$folder/$name.jsonl" --resume "$@" >>"$log" 2>&1 &
  launcher=$!
  until wait "$launcher"; do
    code=$?
    kill -0 "$launcher" 2>/dev/null || break  # else it was the trap that ended the wait
    code=0
  done
  if [[ $(tail -c +$((before + 1)) "$log") == *"ended by SIGUSR1"* ]]; then
    scontrol requeue "${SLURM_JOB_ID:-none}" || echo "slurm: submit it again to measure the rest" >&2
  fi
  return "$code"
}
