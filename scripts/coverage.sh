#!/usr/bin/env bash
# Which lines and branches of lib/ and apps/ the tests run: builds the CPU half with gcov's counters into build-coverage/,
# runs the test programs, and writes a line for each file to build-coverage/coverage.txt, and build-coverage/html/.
# Ends with 1 where less than 90% of a library's lines ran. Usage: scripts/coverage.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

least=90  # percent of the lines of each library

report() {  # GCOVR-OPTION...: on what was counted
  .venv/bin/gcovr --root . --add-tracefile build-coverage/coverage.json "${skipped[@]}" "$@"
}

gcovr_failed() { die "gcovr failed; build-coverage/gcovr.log says why"; }

scripts/setup.sh --with-coverage
say "building into build-coverage/ (the first time takes a quarter of an hour)"
"$cmake" -S . -B build-coverage -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS="--coverage -O1 -g0" \
  -DTPSP_WITH_CUDA=OFF -DTPSP_BUILD_TESTS=ON --log-level=WARNING >/dev/null
"$cmake" --build build-coverage
find build-coverage -name '*.gcda' -delete
allow_mpirun_as_root
# Entire programs, since each test case in a process of its own would take three times as long.
for program in build-coverage/tests/test_*; do
  if [ ! -f "$program" ] || [ ! -x "$program" ] || [[ $program == *_tsan ]]; then continue; fi
  say "running $(basename "$program")"
  "$program" >build-coverage/output.txt 2>&1 || say "$(tail -n 3 build-coverage/output.txt | grep . || echo failed); its lines count all the same"
done
.venv/bin/ctest --test-dir build-coverage -R '^(hierarchy|comm: what MPI)' >build-coverage/output.txt || say "see build-coverage/output.txt"

# Some lines run more than 2^32 times, which gcovr would take for an error of gcov's; exceptions leave negative counts.
.venv/bin/gcovr --root . --object-directory build-coverage --filter '(lib|apps)/' --exclude-throw-branches \
  --exclude-unreachable-branches --merge-mode-functions=separate --gcov-exclude-directories '.*(CompilerId|_tsan).*' \
  --gcov-ignore-parse-errors=negative_hits.warn --gcov-suspicious-hits-threshold 0 \
  --json build-coverage/coverage.json build-coverage/lib build-coverage/apps build-coverage/tests 2>build-coverage/gcovr.log || gcovr_failed

skipped=()
if ! grep -q amx_bf16 /proc/cpuinfo; then
  say "lib/gemm/src/amx.cpp is left out: it needs a CPU with AMX"
  skipped=(--exclude lib/gemm/src/amx.cpp)
fi
mkdir -p build-coverage/html
report --txt build-coverage/coverage.txt --html-nested build-coverage/html/index.html 2>>build-coverage/gcovr.log || gcovr_failed
too_little=0
for library in lib/* apps/*; do
  [ -d "$library/src" ] || continue
  code=0
  report --filter "$library/" --print-summary --fail-under-line "$least" >build-coverage/summary.txt 2>>build-coverage/gcovr.log || code=$?
  if [ "$code" = 2 ]; then too_little=1; elif [ "$code" != 0 ]; then gcovr_failed; fi
  say "$library: $(grep -E '^(lines|branches)' build-coverage/summary.txt | tr '\n' ' ')"
done
if [ "$too_little" = 1 ]; then die "less than $least% of a library's lines ran"; fi
say "written: build-coverage/coverage.txt, build-coverage/html/index.html"
