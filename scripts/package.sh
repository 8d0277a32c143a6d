#!/usr/bin/env bash
# Makes packages of the program for CPUs, LibTorch included: build/package/tpsp-bench-VERSION-Linux-x86_64.tar.gz, which runs
# from any folder, and tpsp-bench_VERSION_amd64.deb. Both are for this distribution, of whose libraries they need some.
# Usage: scripts/package.sh [CMAKE-OPTION...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

scripts/setup.sh --with-packer
say "building the program for CPUs in build/package"
"$cmake" -S . -B build/package -G Ninja -DCMAKE_BUILD_TYPE=Release -DTPSP_BUILD_TESTS=OFF -DTPSP_UNITY=ON \
  -DTPSP_WITH_CUDA=OFF --log-level=WARNING "$@" >/dev/null
"$cmake" --build build/package --target tpsp-bench
say "packing (a minute)"
rm -f build/package/tpsp-bench[-_]*.{tar.gz,deb}
(cd build/package && ../../.venv/bin/cpack --config CPackConfig.cmake) >build/package/cpack.log 2>&1 ||
  die "cpack failed: $(tail -n 3 build/package/cpack.log)"
rm -rf build/package/_CPack_Packages
for file in build/package/tpsp-bench-*.tar.gz build/package/tpsp-bench_*.deb; do
  [ -f "$file" ] || die "cpack made no $file; see build/package/cpack.log"
  say "done: $file ($(du -h "$file" | cut -f1))"
done
