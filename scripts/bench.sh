#!/usr/bin/env bash
# From a fresh clone to numbers: installs, builds, and times both plans with two ranks into results/local/latest.{csv,jsonl,html}.
# Usage: scripts/bench.sh [TPSP-BENCH-OPTION...], for example scripts/bench.sh --seq 256 --layers 1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

ranks=2
results=results/local/latest  # .csv, .jsonl, .html

run_benchmark() {  # TPSP-BENCH-OPTION...
  # tpsp-bench gives each rank its cores; Open MPI would give each of two a single one, however many there are.
  local launch=(mpirun -n "$ranks" --bind-to none)
  if [ "$(physical_cores)" -lt "$ranks" ]; then
    say "fewer than $ranks cores: the ranks share one, so times say little"
    launch+=(--oversubscribe)
  fi
  allow_mpirun_as_root
  mkdir -p "$(dirname "$results")"
  rm -f "$results".{csv,jsonl,html}
  say "running with $ranks ranks, rows go to $results.csv and .jsonl"
  "${launch[@]}" build/tpsp-bench --out "$results.csv" --out "$results.jsonl" "$@" || code=$?
  if [ -s "$results.jsonl" ]; then build/tpsp-bench report "$results.jsonl" -o "$results.html"; fi
}

scripts/setup.sh
build_program
code=0
run_benchmark "$@"
if [ "$code" != 0 ]; then exit "$code"; fi  # the rows that there are, are in the report
say "done: $results.html"
