#!/usr/bin/env bash
# PyTorch's DTensor and tpsp-bench on the same work on the CPU, interleaved: which is faster, by how much? DTensor runs as
# it comes and with a malloc that keeps freed memory, and the better of the two counts; beside forwards, F.linear alone.
# Installs and builds what is missing, measures with two ranks of one thread, prints a table, and leaves it in peers.md
# next to the raw results.
# Usage: scripts/peers.sh [--model llama-7b] [--layers 2] [--batch 2] [--seq 256,512,1024] [--dtype fp32,bf16]
#   [--rounds 3] [--reps 5] [--backend shm,mpi,gloo] [--out FOLDER]
# scripts/peers.sh --workload train [--recompute none,block] compares training steps (forward, loss and backward) and
#   what they save for the backward, with the other options but --backend, which is shm. A step of llama-7b's shapes
#   takes about three times as long as a forward, and its memory is weights, gradients and activations.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/common.sh
source scripts/common.sh

usage="usage: scripts/peers.sh [--model NAME] [--layers N] [--batch N] [--seq LIST] [--dtype LIST] [--rounds N] [--reps N] [--workload forward|train] [--backend LIST | --recompute LIST] [--out FOLDER]"
model=llama-7b  # one of configs/models
layers=2
batch=2
seq=256,512,1024
dtypes=fp32,bf16
rounds=3
reps=5  # at least, of each plan in a round
workload=forward
out=  # results/local/peers, or results/local/peers-train
backends=  # of the forwards: all three unless told otherwise; the collectives are measured under all three
recomputes=  # of the training steps: none unless told otherwise
ops=all-reduce,reduce-scatter,all-gather
sizes=8388608,16777216,33554432

is_number() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]]; }
is_list_of_numbers() { [[ $1 =~ ^[1-9][0-9]{0,5}(,[1-9][0-9]{0,5})*$ ]]; }
is_list_of_dtypes() { [[ $1 =~ ^(fp32|bf16)(,(fp32|bf16))*$ ]]; }
is_list_of_backends() { [[ $1 =~ ^(shm|mpi|gloo)(,(shm|mpi|gloo))*$ ]]; }
is_list_of_recomputes() { [[ $1 =~ ^(none|block)(,(none|block))*$ ]]; }
is_workload() { [[ $1 =~ ^(forward|train)$ ]]; }
is_model() { [[ $1 =~ ^[a-z0-9-]+$ ]] && [ -e "configs/models/$1.yaml" ]; }
is_folder() { [ -n "$1" ]; }

take() {  # TEST OPTION [VALUE]
  [ $# = 3 ] || die "$2 wants a value; $usage"
  "$1" "$3" || die "$2 '$3' is not understood; $usage"
}

while [ $# -gt 0 ]; do
  case $1 in
    --model) take is_model "${@:1:2}"; model=$2 ;;
    --batch) take is_number "${@:1:2}"; batch=$2 ;;
    --seq) take is_list_of_numbers "${@:1:2}"; seq=$2 ;;
    --dtype) take is_list_of_dtypes "${@:1:2}"; dtypes=$2 ;;
    --layers) take is_number "${@:1:2}"; layers=$2 ;;
    --rounds) take is_number "${@:1:2}"; rounds=$2 ;;
    --reps) take is_number "${@:1:2}"; reps=$2 ;;
    --workload) take is_workload "${@:1:2}"; workload=$2 ;;
    --recompute) take is_list_of_recomputes "${@:1:2}"; recomputes=$2 ;;
    --backend) take is_list_of_backends "${@:1:2}"; backends=$2 ;;
    --out) take is_folder "${@:1:2}"; out=$2 ;;
    -h | --help) echo "$usage"; exit ;;
    *) die "unknown argument '$1'; $usage" ;;
  esac
  shift 2
done

case $workload in
  forward) [ -z "$recomputes" ] || die "--recompute is for --workload train; $usage" ;;
  train) [ -z "$backends" ] || die "--backend is for --workload forward; $usage" ;;
esac
backends=${backends:-shm,mpi,gloo}
recomputes=${recomputes:-none}
if [ -z "$out" ]; then
  out=results/local/peers
  if [ "$workload" = train ]; then out+=-train; fi
fi

# Both programs are launched the same way: mpirun gives each rank a core.
launch=(mpirun -n 2)

# glibc's malloc then takes no large block from the system anew, nor gives one back.
keep_memory=(MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000)

measure() {  # NAME STDOUT COMMAND...: what goes to stderr is in NAME.log
  local name=$1 output=$2
  shift 2
  say "$(basename "$name")"
  "$@" >>"$output" 2>>"$name.log" ||
    die "$(basename "$name") failed: $(grep -m 1 -i error "$name.log" || echo "see $name.log")"
}

free_port() {
  .venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

size() {  # KEY: of the model
  sed -n "s/^$1: *//p" "configs/models/$model.yaml"
}

run_torch() {  # ROUND PEER DTYPE as-is|keep SCRIPT [OPTION...]
  local name=$out/round-$1-$2-$3 dtype=$3 malloc=() script=$5
  if [ "$4" = keep ]; then malloc=("${keep_memory[@]}"); fi
  shift 5
  MASTER_ADDR=127.0.0.1 MASTER_PORT=$(free_port) measure "$name" "$name.csv" env "${malloc[@]}" "${launch[@]}" \
    .venv/bin/python "scripts/peers/$script" --hidden "$(size hidden)" --ffn "$(size ffn)" --heads "$(size heads)" \
    --kv-heads "$(size kv_heads | grep . || size heads)" --vocab "$(size vocabulary)" --layers "$layers" \
    --batch "$batch" --seq "$seq" --dtype "$dtype" --warmup 1 --reps "$reps" --min-time 0.5 "$@"
}

run_dtensor() { run_torch "$1" dtensor "$2" as-is dtensor_llama.py; }  # ROUND DTYPE
run_linear() { run_torch "$1" linear "$2" keep linear.py; }  # ROUND DTYPE
run_dtensor_kept() { run_torch "$1" dtensor-kept "$2" keep dtensor_llama.py; }  # ROUND DTYPE
run_dtensor_steps() {  # ROUND DTYPE RECOMPUTE
  run_torch "$1" "dtensor-$3" "$2" as-is dtensor_train.py --recompute "$3"
}

run_dtensor_steps_kept() {  # ROUND DTYPE RECOMPUTE
  run_torch "$1" "dtensor-kept-$3" "$2" keep dtensor_train.py --recompute "$3"
}

run_forwards() {  # ROUND DTYPE BACKEND
  local name=$out/round-$1-tpsp-bench-$3-$2 check=off
  if [ "$1" = 1 ]; then check=on; fi  # the numbers do not change from round to round
  run_tpsp_bench "$name" "$2" "$3" --check $check
}

run_steps() {  # ROUND DTYPE RECOMPUTE
  local name=$out/round-$1-tpsp-bench-$3-$2 check=off
  if [ "$1" = 1 ]; then check=on; fi
  run_tpsp_bench "$name" "$2" shm --workload train --recompute "$3" --profile off --check $check
}

run_tpsp_bench() {  # NAME DTYPE BACKEND OPTION...
  local name=$1 dtype=$2 backend=$3
  shift 3
  measure "$name" "$name.log" "${launch[@]}" build/tpsp-bench --backend "$backend" --model "$model" --layers "$layers" \
    --batch "$batch" --tp --sp --seq "$seq" --dtype "$dtype" --device cpu --threads 1 --warmup 1 --min-reps "$reps" \
    --min-time 0.5 --max-noise 100 --gemm-cache "$out/gemm.json" --out "$name.csv" "$@"
}

run_collectives() {  # ROUND
  local name=$out/round-$1-comm
  measure "$name" "$name.log" "${launch[@]}" build/tpsp-bench comm --op $ops --bytes $sizes --dtype fp32 --threads 1 \
    --backend shm,mpi,gloo --out "$name.csv"
}

forward_runs() {  # ROUND: fills `runs`
  local dtype backend
  for dtype in ${dtypes//,/ }; do
    runs+=("run_linear $1 $dtype" "run_dtensor $1 $dtype" "run_dtensor_kept $1 $dtype")
    for backend in ${backends//,/ }; do runs+=("run_forwards $1 $dtype $backend"); done
  done
  runs+=("run_collectives $1")
}

train_runs() {  # ROUND: fills `runs`
  local dtype recompute program
  for dtype in ${dtypes//,/ }; do
    for recompute in ${recomputes//,/ }; do
      for program in run_dtensor_steps run_dtensor_steps_kept run_steps; do
        runs+=("$program $1 $dtype $recompute")
      done
    done
  done
}

# Every second round runs in reverse order, so that no program is always the first.
run_round() {  # ROUND
  local runs=() i
  "${workload}_runs" "$1"
  for ((i = 0; i < ${#runs[@]}; ++i)); do
    if [ $(($1 % 2)) = 1 ]; then ${runs[i]}; else ${runs[-1 - i]}; fi
  done
}

scripts/setup.sh --with-peers
build_program
allow_mpirun_as_root
if [ "$(physical_cores)" -lt 2 ]; then
  say "fewer than 2 cores: the ranks share one, so times say little"
  launch+=(--oversubscribe)
fi
export OMP_NUM_THREADS=1 CUDA_VISIBLE_DEVICES=  # not earlier: nproc counts OpenMP's threads where they are set
mkdir -p "$out"
rm -f "$out"/round-* "$out/peers.md" "$out/gemm.json"
for ((round = 1; round <= rounds; ++round)); do
  say "round $round of $rounds"
  run_round "$round"
done
.venv/bin/python scripts/peers/table.py "$out"
say "done: $out/peers.md"
