#!/usr/bin/env bash
# Installs what tpsp-bench builds and runs with: Debian packages, and a virtual environment with LibTorch and CMake.
# Usage: scripts/setup.sh [--with-tests | --with-cluster | --with-coverage | --with-peers | --with-fuzzer | --with-packer]
# --with-cluster and --with-coverage include --with-tests. Does nothing that is already done. Versions: scripts/versions.env.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh
# shellcheck source=scripts/versions.env
source scripts/versions.env

usage="usage: scripts/setup.sh [--with-tests | --with-cluster | --with-coverage | --with-peers | --with-fuzzer | --with-packer]"
[ $# -le 1 ] || die "too many arguments; $usage"
with_tests=no
with_cluster=no
with_coverage=no
with_fuzzer=no
with_packer=no
full_torch=no
case "${1:-}" in
  '') ;;
  --with-tests) with_tests=yes full_torch=yes ;;
  --with-cluster) with_tests=yes full_torch=yes with_cluster=yes ;;  # and Slurm, where it can be had
  --with-coverage) with_tests=yes full_torch=yes with_coverage=yes ;;  # of the tests
  --with-peers) full_torch=yes ;;
  --with-fuzzer) with_fuzzer=yes ;;
  --with-packer) with_packer=yes ;;
  -h | --help) echo "$usage"; exit ;;
  *) die "unknown argument '$1'; $usage" ;;
esac

missing_packages() {  # those of "$@" that dpkg does not have installed
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s\n' "$package"
  done
}

install_packages() {
  local wanted missing groups=$APT_BUILD
  if [ $with_tests = yes ]; then groups+=" $APT_TEST"; fi
  if [ $with_fuzzer = yes ]; then groups+=" $APT_FUZZER"; fi
  if [ $with_packer = yes ]; then groups+=" $APT_PACKER"; fi
  read -r -d '' -a wanted <<<"$groups" || true
  command -v apt-get >/dev/null || die "no apt on this machine; install the equivalents of: ${wanted[*]}"
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if [ ${#missing[@]} = 0 ]; then say "Debian packages: all there"; return; fi
  apt_install "${missing[@]}" || exit
}

# Tests under Slurm say that they do not run where it is missing.
install_slurm() {
  local wanted missing
  read -r -a wanted <<<"$APT_CLUSTER"
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if [ ${#missing[@]} = 0 ]; then return; fi
  apt_install "${missing[@]}" || say "going on without Slurm: ${missing[*]}"
}

apt_install() {  # PACKAGE...: returns what apt-get does
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "[setup] error: neither root nor sudo; ask an administrator to install: $*" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  say "Debian packages: installing $*"
  # A package list that cannot be renewed is no reason to stop: the packages may still be found in the old one.
  "${as_root[@]}" apt-get update -q >/dev/null || say "apt-get update failed, going on with the old package list"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "$@" >/dev/null && return
  echo "[setup] error: apt-get could not install: $*" >&2
  return 1
}

# An environment whose pip does not start was interrupted while it was made, or its Python is gone.
make_environment() {
  if .venv/bin/python -m pip --version >/dev/null 2>&1; then return; fi
  say "Python environment: making .venv"
  python3 -m venv --clear .venv
}

stamp=.venv/installed.txt  # one line for each group that is installed

installed() { grep -qsxF -- "$*" "$stamp"; }  # GROUP PIP-ARGUMENT...

install_group() {  # GROUP PIP-ARGUMENT...
  local group=$1 line="$*"
  shift
  if installed "$line"; then say "Python packages ($group): all there"; return; fi
  say "Python packages ($group): installing $* (a minute or two)"
  .venv/bin/python -m pip install -q --disable-pip-version-check --root-user-action=ignore "$@" ||
    die "pip could not install: $*"
  { grep -sv "^$group " "$stamp" || true; echo "$line"; } >"$stamp.new"
  mv "$stamp.new" "$stamp"
}

# Without nvcc only the CPU half is built, and it needs a quarter of the download. The tests' oracle and the
# peers import torch in Python, which needs all of it.
install_python_packages() {
  local full cpu_half onednn tests plots
  read -r -a full <<<"libtorch $PIP_CMAKE $PIP_TORCH"
  read -r -a cpu_half <<<"libtorch --no-deps $PIP_CMAKE $PIP_TORCH_CPU_RUNTIME $PIP_TORCH"
  read -r -a onednn <<<"onednn $PIP_ONEDNN"
  read -r -a plots <<<"plots $PIP_PLOTS"
  read -r -a tests <<<"tests $PIP_TEST $PIP_TRACKERS"
  if has_nvcc || [ $full_torch = yes ] || installed "${full[@]}"; then
    install_group "${full[@]}"
  else
    install_group "${cpu_half[@]}"
  fi
  if [ "$HOSTTYPE" = x86_64 ]; then install_group "${onednn[@]}"; fi  # elsewhere there is no such package
  install_group "${plots[@]}"
  [ $with_tests = no ] || install_group "${tests[@]}"
  [ $with_coverage = no ] || install_group coverage "$PIP_COVERAGE"
}

install_packages
if [ $with_cluster = yes ]; then install_slurm; fi
make_environment
install_python_packages
say "ready"
