#!/usr/bin/env bash
# Shows that the check of the numbers fails on wrong code. Puts wrong collectives and weight shards into running
# forwards, builds every mutant of tests/mutation/mutants.txt into one program, and tries each under every plan, batch and
# number of ranks, on forwards and on training steps. Verdicts go to build-mutants/mutants.tsv. Ends with 1 where one
# changes a result and passes the check.
# Usage: scripts/mutate.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

[ $# = 0 ] || die "no arguments; usage: scripts/mutate.sh"
scripts/setup.sh --with-tests
tree=build-mutants/tree
say "writing the mutants into $tree"
.venv/bin/python scripts/mutate.py write "$tree"
ln -sfn "$PWD/.venv" "$tree/.venv"
say "building them (some minutes)"
"$cmake" -S "$tree" -B build-mutants -G Ninja -DCMAKE_BUILD_TYPE=Release -DTPSP_WITH_CUDA=OFF -DTPSP_BUILD_TESTS=ON \
  --log-level=WARNING >/dev/null
"$cmake" --build build-mutants --target run_mutant test_mutation
say "trying wrong collectives and weight shards in every case"
TPSP_TEST_EVERY_CASE=1 build-mutants/tests/test_mutation
say "trying each mutant in every case"
.venv/bin/python scripts/mutate.py try build-mutants/tests/run_mutant build-mutants/mutants.tsv
