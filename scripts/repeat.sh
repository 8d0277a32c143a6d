#!/usr/bin/env bash
# Runs a command several times, or two in alternation (A B B A ...), so that tpsp-bench compare can set runs against runs.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage="usage: scripts/repeat.sh N COMMAND...    or    scripts/repeat.sh N 'COMMAND A' -- 'COMMAND B'"

help() {
  cat <<HELP
$usage

Runs COMMAND N times, or A and B in alternation, N times each, and ends where one fails, with its exit code. After exit
code 3, a row that is not ok (such as a case that does not fit in memory), it goes on, and ends with 3 after the last.
Every other round begins with B, so that a machine that grows slower does so for both; an even N balances them.
tpsp-bench appends a run to its results file each time:

  scripts/repeat.sh 6 'mpirun -n 2 old/tpsp-bench --out before.jsonl' -- \\
    'mpirun -n 2 new/tpsp-bench --out after.jsonl'
  tpsp-bench compare before.jsonl after.jsonl
HELP
}

readonly rows_not_ok=3
final_code=0

run() {  # ROUND COMMAND...
  local round=$1 code=0
  shift
  say "$round of $runs: $*" >&2
  "$@" || code=$?
  if [ "$code" = $rows_not_ok ]; then
    printf '[repeat] warning: run %s ended with 3, a row is not ok: %s\n' "$round" "$*" >&2
    final_code=$code
  elif [ "$code" != 0 ]; then
    printf '[repeat] error: run %s ended with %s: %s\n' "$round" "$code" "$*" >&2
    exit "$code"
  fi
}

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then
  help
  exit
fi
runs=${1:-}
[[ $runs =~ ^[1-9][0-9]{0,3}$ ]] || die "'$runs' is no number of runs from 1 to 9999; $usage"
shift
[ $# != 0 ] || die "there is no command; $usage"
allow_mpirun_as_root
for ((round = 1; round <= runs; ++round)); do
  if [ $# = 3 ] && [ "$2" = -- ]; then
    first=$1 second=$3
    if ((round % 2 == 0)); then first=$3 second=$1; fi
    run "$round" bash -c "$first"
    run "$round" bash -c "$second"
  else
    run "$round" "$@"
  fi
done
exit "$final_code"
