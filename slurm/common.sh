# What the job scripts have in common. Sourced from the repository's root.
# shellcheck shell=bash

die() { printf 'slurm: %s\n' "$*" >&2; exit 2; }

program=build/tpsp-bench
[ -x "$program" ] ||
  die "no $program in $PWD; submit from the repository's root, after scripts/setup.sh," \
    "'.venv/bin/cmake --preset release' and '.venv/bin/cmake --build --preset release'"

tasks=${SLURM_NTASKS:-$((${SLURM_NNODES:-1} * ${SLURM_NTASKS_PER_NODE:-2}))}
case "${TPSP_LAUNCHER:-srun}" in
  srun) launch=(srun --mpi=pmix --ntasks="$tasks" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}") ;;
  mpirun) launch=(mpirun -n "$tasks" --bind-to none) ;;  # by itself mpirun gives each rank a single core
  *) die "TPSP_LAUNCHER is '$TPSP_LAUNCHER'; the choices are srun, mpirun" ;;
esac
export -n TPSP_LAUNCHER  # the program would look for an option of that name

# Slurm sends the script SIGUSR1 before the job's time is up (--signal=B:USR1@400). srun and mpirun hand it on to the
# ranks, which end after their case: a length with all its plans, check and profile. Give it more seconds than one takes.
# A job that is killed before can be queued again by hand: scontrol requeue JOBID
launcher=
signalled=no
trap 'signalled=yes; [ -z "$launcher" ] || kill -USR1 "$launcher" || true' USR1

# Runs the program with the job's ranks. A job that was started before goes on where it was ended: by SIGUSR1, after which
# it is queued again, or by the loss of a node.
# Rows are in FOLDER/NAME.csv and .jsonl, what it prints in FOLDER/NAME.txt.
run_ranks() {  # FOLDER NAME TPSP-BENCH-OPTION...
  local folder=$1 name=$2 code=0 log=$1/$2.txt before=0
  shift 2
  mkdir -p "$folder"
  if [ -e "$log" ]; then before=$(wc -c <"$log"); fi
  echo "slurm: what it prints is in $log"
  "${launch[@]}" "$program" --out "$folder/$name.csv" --out "$folder/$name.jsonl" --resume "$@" >>"$log" 2>&1 &
  launcher=$!
  wait "$launcher" || code=$?
  while [ "$signalled" = yes ]; do  # it was the trap that ended the wait
    signalled=no
    code=0
    wait "$launcher" || code=$?
  done
  if [[ $(tail -c +$((before + 1)) "$log") == *"ended by SIGUSR1"* ]]; then
    scontrol requeue "${SLURM_JOB_ID:-none}" ||
      echo "slurm: not queued again; submit it with --out $folder/$name.jsonl to measure the rest" >&2
  fi
  return "$code"
}
