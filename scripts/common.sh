# shellcheck shell=bash
# What the scripts in this folder share. Sourced from the repository's root, never run.

cmake=.venv/bin/cmake

say() { printf '[%s] %s\n' "$(basename "$0" .sh)" "$*"; }
die() { printf '[%s] error: %s\n' "$(basename "$0" .sh)" "$*" >&2; exit 1; }

has_nvcc() { command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; }

configure() {  # CMAKE-OPTION...
  say "configuring build/ (Release, Ninja)"
  local cuda=OFF
  if has_nvcc; then cuda=ON; fi
  "$cmake" -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DTPSP_WITH_CUDA=$cuda --log-level=WARNING "$@" >/dev/null
}

build() {  # TARGET
  say "building $1 (the first time takes minutes)"
  "$cmake" --build build --target "$1"
}

configured_with_tests() {
  grep -qs '^TPSP_BUILD_TESTS:BOOL=ON$' build/CMakeCache.txt
}

build_program() {
  local options=(-DTPSP_BUILD_TESTS=OFF -DTPSP_UNITY=ON)
  if configured_with_tests; then options=(); fi  # so that this does not undo the work of scripts/test.sh
  configure "${options[@]}"
  build tpsp-bench
}

# Open MPI counts a core once, however many hardware threads it has.
physical_cores() {
  local cores
  cores=$(lscpu -p=CORE,SOCKET 2>/dev/null | grep -v '^#' | sort -u | wc -l) || cores=0
  if [ "$cores" = 0 ] || [ "$cores" -gt "$(nproc)" ]; then cores=$(nproc); fi  # nproc knows what this process may use
  echo "$cores"
}

allow_mpirun_as_root() {  # in a container root is often the only user
  if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
}
