#!/usr/bin/env bash
# Installs what the tests need, builds everything with warnings as errors, and runs every test.
# Usage: scripts/test.sh [--cluster] [CTEST-OPTION...], for example scripts/test.sh -R parallel
# With --cluster it installs Slurm too, where that can be had, so that the tests under Slurm run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

with=--with-tests
if [ "${1:-}" = --cluster ]; then
  with=--with-cluster
  shift
fi
scripts/setup.sh "$with"
configure -DTPSP_BUILD_TESTS=ON -DTPSP_WERROR=ON -DTPSP_UNITY=OFF
build all
allow_mpirun_as_root
say "running the tests"
.venv/bin/ctest --test-dir build --output-on-failure -j2 "$@"
say "all passed"
