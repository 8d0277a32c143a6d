#!/usr/bin/env bash
# Random faults, one after the other, in short runs of the built program: a signal to a rank or to mpirun, at a random
# moment, under a random backend. No run may hang, lose or tear a row, or leave a process or file behind. One JSON line a
# fault goes to results/local/soak.jsonl. Eight seconds a fault: a thousand take over two hours.
# Usage: scripts/soak.sh [FAULTS, 1000 by default] [SEED, 1 by default]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

usage="usage: scripts/soak.sh [FAULTS] [SEED]"
[ $# -le 2 ] || die "too many arguments; $usage"
for number in "$@"; do
  [[ $number =~ ^[1-9][0-9]{0,5}$ ]] || die "'$number' is no number; $usage"
done
scripts/setup.sh
build_program
allow_mpirun_as_root
mkdir -p results/local
.venv/bin/python tests/faults/soak.py build/tpsp-bench "${1:-1000}" "${2:-1}" | tee results/local/soak.jsonl
