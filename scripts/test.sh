#!/usr/bin/env bash
# Installs what the tests need, builds everything with warnings as errors, and runs every test.
# Usage: scripts/test.sh [CTEST-OPTION...], for example scripts/test.sh -R parallel
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

scripts/setup.sh --with-tests
configure -DTPSP_BUILD_TESTS=ON -DTPSP_WERROR=ON -DTPSP_UNITY=OFF
build all
allow_mpirun_as_root
say "running the tests"
.venv/bin/ctest --test-dir build --output-on-failure -j2 "$@"
say "all passed"
