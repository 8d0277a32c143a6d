#!/usr/bin/env bash
# Gives the readers of what users write hostile text, with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer: plans,
# models, links, suites, options, results files, the kernels' cache, the command line. What it finds goes to build-fuzz/findings.
# The first build takes a quarter of an hour; two targets run at once.
# Usage: scripts/fuzz.sh [SECONDS of each target, 600 by default [TARGET...]]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

usage="usage: scripts/fuzz.sh [SECONDS [TARGET...]]"
seconds=600
if [ $# -gt 0 ]; then
  [[ $1 =~ ^[1-9][0-9]{0,5}$ ]] || die "'$1' is no number of seconds; $usage"
  seconds=$1
  shift
fi
mapfile -t targets < <(cd tests/fuzz/corpus && ls)
for target in "$@"; do
  [ -d "tests/fuzz/corpus/$target" ] || die "no target '$target'; the choices are ${targets[*]}"
done
if [ $# -gt 0 ]; then targets=("$@"); fi

scripts/setup.sh --with-fuzzer
say "building the fuzzer's programs in build-fuzz"
"$cmake" --preset fuzz --log-level=WARNING >/dev/null
"$cmake" --build --preset fuzz -- "${targets[@]/#/fuzz_}"

findings=$PWD/build-fuzz/findings
scratch=$(mktemp -d /dev/shm/tpsp-fuzz.XXXXXX)  # the targets' files, a hundred thousand writes a minute
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$findings"

fuzz() {  # TARGET: its last lines say how many inputs it was given
  local corpus=build-fuzz/corpus/$1 log=build-fuzz/$1.log
  mkdir -p "$corpus"
  TMPDIR=$scratch ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 "$(find build-fuzz -name "fuzz_$1" -type f)" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="$findings/$1-" "$corpus" "tests/fuzz/corpus/$1" >"$log" 2>&1 || { echo "$1: FOUND, see $log"; return 1; }
  echo "$1: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, none of them a finding"
}

export -f fuzz
export findings scratch seconds
printf '%s\n' "${targets[@]}" | xargs -P 2 -I{} bash -c 'fuzz {}' || die "a finding is a file in build-fuzz/findings"
say "nothing found"
