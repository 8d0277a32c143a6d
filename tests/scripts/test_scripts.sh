#!/usr/bin/env bash
# The shell scripts, tested without installing or submitting anything: they run in a copy of their folders, on a PATH
# that holds only what a check allows, with apt-get, pip, sudo and the launchers replaced by programs that write down how
# they were called. One line per check; exits with 1 when any failed.
# shellcheck disable=SC2016  # what a fake program runs is quoted for later
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit
unset SLURM_SUBMIT_DIR SLURM_JOB_ID SLURM_CPUS_PER_TASK SLURM_NTASKS SLURM_NPROCS SLURM_ARRAY_TASK_ID TPSP_LAUNCHER

repository=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

check() {  # SENTENCE COMMAND...
  local sentence=$1
  shift
  if "$@"; then
    echo "ok: $sentence"
  else
    echo "FAILED: $sentence"
    sed 's/^/    /' "$scratch"/{out,err,calls} 2>/dev/null
    failures=$((failures + 1))
  fi
}

fake() {  # NAME SHELL-TEXT: a program that records its arguments, then runs the text
  printf '#!/bin/bash\necho "%s $*" >>"%s"\n%s\n' "$1" "$scratch/calls" "$2" >"$scratch/bin/$1"
  chmod +x "$scratch/bin/$1"
}

# A machine with every package, as root, whose Python environment works and is empty.
fresh_machine() {
  rm -rf "${scratch:?}"/*
  mkdir -p "$scratch/bin" "$scratch/tree/.venv/bin"
  cp -r "$repository/scripts" "$repository/slurm" "$repository/configs" "$scratch/tree"
  local tool
  for tool in bash basename cat dirname env grep id mkdir mv nproc rm sed sort tail tee wc; do
    ln -s "$(type -P $tool)" "$scratch/bin/$tool"
  done
  : >"$scratch/calls"
  fake dpkg-query 'echo installed'
  fake apt-get ''
  fake python3 "mkdir -p .venv/bin; cp '$scratch/bin/environment-python' .venv/bin/python"
  fake environment-python ''
  fake lscpu 'printf "0,0\n1,0\n"'
  fake mpirun ''
  fake srun ''
  user 0
  cp "$scratch/bin/environment-python" "$scratch/tree/.venv/bin/python"
}

user() { rm -f "$scratch/bin/id"; fake id "echo $1"; }

in_tree() {  # COMMAND...: leaves status, $scratch/out, $scratch/err, $scratch/calls
  : >"$scratch/calls"
  (cd "$scratch/tree" && PATH=$scratch/bin "$@") >"$scratch/out" 2>"$scratch/err"
  status=$?
}

failed_with_one_line() {  # TEXT...: the last run failed, and its one line of error holds every text
  [ "$status" != 0 ] && [ "$(wc -l <"$scratch/err")" = 1 ] || return
  local text
  for text in "$@"; do grep -qF -- "$text" "$scratch/err" || return; done
}

succeeded() { [ "$status" = 0 ]; }
called() { grep -qE -- "^$1" "$scratch/calls"; }
not_called() { ! called "$1"; }

mapfile -t scripts < <(find scripts slurm tests/scripts -name '*.sh'; echo .ci/run)
check "shellcheck has no remark on ${#scripts[@]} scripts" shellcheck -x "${scripts[@]}"

# --- containers/, which no engine is here to build

shell_of() {  # RECIPE: the commands that building and running it gives to a shell
  case $1 in
    *.def) awk '/^%/ { shell = /^%(post|runscript)/; next } /^[A-Z][a-z]+: / { shell = 0 } shell' "$1" ;;
    *) sed -e ':join' -e '/\\$/{N; s/\\\n//; b join}' "$1" | sed -n 's/^RUN //p' ;;
  esac
}

shell_is_clean() { shell_of "$1" | shellcheck --shell=sh - >"$scratch/out" && [ -n "$(shell_of "$1")" ]; }

names_what_there_is() {  # RECIPE
  local path
  while read -r path; do
    [ "$path" = 'build/package/*.deb' ] && continue  # what scripts/package.sh makes
    [ -e "$path" ] || { echo "$path" >"$scratch/out"; return 1; }
  done < <(grep -oE '\b(scripts|containers|build/package)/[A-Za-z_.*-]+' "$1")
}

for recipe in containers/Dockerfile* containers/*.def; do
  check "$recipe: shellcheck has no remark on its commands" shell_is_clean "$recipe"
  check "$recipe: what it names is in the repository" names_what_there_is "$recipe"
done
one_image() { [ "$(cat containers/* | grep -o 'nvidia/cuda:[^ ]*' | sort -u | wc -l)" = 1 ]; }
check "the recipes for GPUs take one version of CUDA" one_image

# --- scripts/setup.sh

fresh_machine
rm "$scratch/bin/apt-get"
in_tree scripts/setup.sh
check "setup without apt is one line that names the packages" failed_with_one_line "no apt" g++ libopenmpi-dev ninja-build

in_tree scripts/setup.sh --with-test
check "setup refuses an argument it does not know" failed_with_one_line "'--with-test'" usage
check "and has installed nothing by then" not_called '(apt-get|sudo|environment-python)'

fresh_machine
fake dpkg-query '[ "${@: -1}" = libre2-dev ] || echo installed'
user 1000
in_tree scripts/setup.sh
check "neither root nor sudo is one line that names what is missing" failed_with_one_line "sudo" "install: libre2-dev"

fake sudo '"$@"'
in_tree scripts/setup.sh
check "a user with sudo can install" succeeded
check "through sudo" called 'sudo env .*apt-get install .* libre2-dev$'

user 0
in_tree scripts/setup.sh
check "root installs only what is missing" called 'apt-get install -y -q --no-install-recommends libre2-dev$'
check "without sudo" not_called sudo

fake apt-get 'exit 100'
in_tree scripts/setup.sh
check "a package that apt does not have is named" grep -q 'error: .*libre2-dev' "$scratch/err"

fresh_machine
in_tree scripts/setup.sh
check "the first setup fills the Python environment" called 'environment-python -m pip install .*torch=='
in_tree scripts/setup.sh
check "the second setup installs nothing" not_called '(apt-get|environment-python -m pip install)'
in_tree scripts/setup.sh --with-tests
check "the tests' packages are added when they are asked for" called 'environment-python -m pip install .*transformers=='
in_tree scripts/setup.sh --with-cluster
check "and so are Slurm's" succeeded
fake dpkg-query '[[ "${@: -1}" = slurm* ]] || echo installed'
in_tree scripts/setup.sh --with-cluster
check "which are installed" called 'apt-get install .* slurmctld slurmd slurm-client$'
fake apt-get 'exit 100'
in_tree scripts/setup.sh --with-cluster
check "or left out where they are not to be had" succeeded
check "with a line that says so" grep -q "going on without Slurm: .*slurmctld" "$scratch/out"
fake apt-get ''
fake dpkg-query 'case ${@: -1} in clang | file) ;; *) echo installed ;; esac'
in_tree scripts/setup.sh
check "a plain setup installs neither fuzzer nor packer" not_called apt-get
in_tree scripts/setup.sh --with-fuzzer
check "the fuzzer's compiler is installed when it is asked for" called 'apt-get install .* clang$'
in_tree scripts/setup.sh --with-packer
check "and so is what packing needs" called 'apt-get install .* file$'
in_tree scripts/fuzz.sh plan_yaml
check "the fuzzer wants a number of seconds first" failed_with_one_line "'plan_yaml' is no number of seconds" usage
fake dpkg-query 'echo installed'
sed -i 's/torch==[0-9.]*/torch==9.9.9/' "$scratch/tree/scripts/versions.env"
in_tree scripts/setup.sh
check "a changed version is installed" called 'environment-python -m pip install .*torch==9.9.9'

printf '#!/bin/bash\nexit 1\n' >"$scratch/tree/.venv/bin/python"
in_tree scripts/setup.sh
check "an environment that does not start is made anew" called 'python3 -m venv --clear .venv'

fresh_machine
fake environment-python '[ "$3" != install ]'
cp "$scratch/bin/environment-python" "$scratch/tree/.venv/bin/python"
in_tree scripts/setup.sh
check "a failed pip is an error" failed_with_one_line "pip could not install"
in_tree scripts/setup.sh
check "and is tried again" called 'environment-python -m pip install'

# --- scripts/bench.sh

fresh_machine
fake cmake ''
cp "$scratch/bin/cmake" "$scratch/tree/.venv/bin/cmake"
mkdir -p "$scratch/tree/results/local"
echo old >"$scratch/tree/results/local/latest.csv"
in_tree scripts/bench.sh --seq 256
check "bench passes its options on" \
  called 'mpirun -n 2 --bind-to none build/tpsp-bench --out results/local/latest.csv --out results/local/latest.jsonl --seq 256$'
check "bench leaves no rows of an earlier run" [ ! -e "$scratch/tree/results/local/latest.csv" ]
check "bench builds the program alone, with its sources together" called 'cmake .*-DTPSP_BUILD_TESTS=OFF -DTPSP_UNITY=ON'

mkdir -p "$scratch/tree/build"
echo 'TPSP_BUILD_TESTS:BOOL=ON' >"$scratch/tree/build/CMakeCache.txt"
in_tree scripts/bench.sh
check "bench keeps tests that are configured" not_called 'cmake .*-DTPSP_BUILD_TESTS'

fake lscpu 'echo 0,0'
in_tree scripts/bench.sh
check "two ranks on one core are allowed" called 'mpirun -n 2 --bind-to none --oversubscribe'

fake mpirun 'exit 4'
in_tree scripts/bench.sh
check "bench ends with the exit code of the run" [ "$status" = 4 ]

# --- scripts/peers.sh

in_order() {  # PATTERN...: the calls that match, in this order
  local pattern line=0 found
  for pattern in "$@"; do
    found=$(tail -n +$((line + 1)) "$scratch/calls" | grep -nE -m 1 -- "$pattern" | cut -d: -f1)
    [ -n "$found" ] || return
    line=$((line + found))
  done
}

fresh_machine
fake cmake ''
cp "$scratch/bin/cmake" "$scratch/tree/.venv/bin/cmake"
mkdir -p "$scratch/tree/peers"
echo old >"$scratch/tree/peers/round-9-comm.csv"
in_tree scripts/peers.sh --model llama-3-8b --batch 1 --seq 64,128 --dtype bf16 --layers 3 --rounds 2 --reps 7 --out peers
check "peers measures" succeeded
check "peers installs all of PyTorch" called 'environment-python -m pip install .*cmake==[0-9.]* torch=='
check "peers gives DTensor its shapes" called \
  'mpirun -n 2 .venv/bin/python scripts/peers/dtensor_llama.py --hidden 4096 --ffn 14336 --heads 32 --kv-heads 8 --vocab 128256 --layers 3 --batch 1 --seq 64,128 --dtype bf16 .* --reps 7 '
check "peers gives tpsp-bench the same" called \
  'mpirun -n 2 build/tpsp-bench --backend shm --model llama-3-8b --layers 3 --batch 1 --tp --sp --seq 64,128 --dtype bf16 .* --min-reps 7 '
check "peers gives DTensor a malloc that keeps memory too" [ -e "$scratch/tree/peers/round-2-dtensor-kept-bf16.csv" ]
check "peers runs the programs in order, and in reverse in the second round" in_order \
  linear.py dtensor_llama dtensor_llama 'backend shm' 'backend mpi' 'backend gloo .*--check on' 'comm .*--backend shm,mpi,gloo' \
  'comm .*round-2-comm' 'backend gloo .*--check off' 'backend mpi' 'backend shm' dtensor_llama dtensor_llama linear.py \
  'table.py peers$'
check "peers leaves no results of an earlier run" [ ! -e "$scratch/tree/peers/round-9-comm.csv" ]
check "peers leaves a file for a round and program" [ -e "$scratch/tree/peers/round-2-dtensor-bf16.csv" ]

in_tree scripts/peers.sh --workload train --recompute none,block --seq 64 --dtype fp32 --rounds 2 --reps 7 --out peers
check "peers measures training steps" succeeded
check "peers gives DTensor's step its shapes" called \
  'mpirun -n 2 .venv/bin/python scripts/peers/dtensor_train.py --hidden 4096 .* --seq 64 --dtype fp32 .* --reps 7 .* --recompute block$'
check "peers gives tpsp-bench's step the same" called \
  'mpirun -n 2 build/tpsp-bench --backend shm --model llama-7b --layers 2 --batch 2 --tp --sp --seq 64 --dtype fp32 .* --min-reps 7 .* --workload train --recompute block --profile off --check on$'
train='dtensor_train.*--recompute' ours='workload train --recompute'
check "peers runs the steps in order, and in reverse in the second round" in_order \
  "$train none" "$train none" "$ours none" "$train block" "$train block" "$ours block" \
  "$ours block" "$train block" "$train block" "$ours none" "$train none" "$train none" 'table.py peers$'
check "peers leaves a file for each malloc and recompute" [ -e "$scratch/tree/peers/round-2-dtensor-kept-block-fp32.csv" ]
check "peers measures nothing else beside training steps" not_called '.*(dtensor_llama|linear|tpsp-bench comm)'
in_tree scripts/peers.sh --recompute block
check "peers refuses to recompute in forwards" failed_with_one_line "--recompute is for --workload train" usage
in_tree scripts/peers.sh --workload train --backend mpi
check "peers refuses a backend for training steps" failed_with_one_line "--backend is for --workload forward" usage

fake mpirun 'case "$*" in *gloo*) echo "tpsp-bench: error: no gloo" >&2; exit 2 ;; esac'
in_tree scripts/peers.sh --dtype fp32 --rounds 1 --out peers
check "peers measures llama-7b unless told otherwise" called 'mpirun .*dtensor_llama.py .* --heads 32 --kv-heads 32 --vocab 32000 '
check "peers ends where a program fails, with its error" failed_with_one_line "gloo-fp32 failed" "no gloo"
check "and shows no table" not_called '.*table.py'

for option in '--workload decode' '--recompute attention' '--model gpt-5' '--batch 0' '--seq 0' '--seq 5,x' '--dtype int8' '--rounds two' '--out' '--frob 1'; do
  # shellcheck disable=SC2086  # an option and its value
  in_tree scripts/peers.sh $option
  check "peers refuses $option" failed_with_one_line "${option%% *}" usage
done

# --- scripts/repeat.sh

fresh_machine
fake a ''
fake b ''
in_tree scripts/repeat.sh 3 a --out 'my file'
calls_are() { diff "$scratch/calls" - >"$scratch/err"; }
check "repeat runs a command as often as it is asked to" calls_are <<'CALLS'
id -u
a --out my file
a --out my file
a --out my file
CALLS
in_tree scripts/repeat.sh 2 'a 1 && a 2' -- 'b 3'
check "repeat alternates two commands, and which of them is first" calls_are <<'CALLS'
id -u
a 1
a 2
b 3
b 3
a 1
a 2
CALLS
check "repeat says which run it is on stderr alone" [ ! -s "$scratch/out" ]
fake b '[ "$1" != 3 ] || exit 4'
in_tree scripts/repeat.sh 2 'a 1' -- 'b 3'
check "repeat ends where a run fails, with its exit code" [ "$status" = 4 ]
check "and with an error that names the run" grep -q 'error: run 1 ended with 4: bash -c b 3' "$scratch/err"
check "and starts nothing after it" [ "$(grep -c '^a' "$scratch/calls")" = 1 ]
fake b 'exit 3'
in_tree scripts/repeat.sh 2 'a 1' -- 'b 3'
check "repeat says of each run that had rows that are not ok" \
  [ "$(grep -c 'ended with 3, a row is not ok: bash -c b 3' "$scratch/err")" = 2 ]
check "goes on after it" calls_are <<'CALLS'
id -u
a 1
b 3
b 3
a 1
CALLS
check "and ends with 3 as well" [ "$status" = 3 ]
in_tree scripts/repeat.sh --help
check "repeat explains itself" grep -q "^usage: scripts/repeat.sh N COMMAND" "$scratch/out"
check "and what exit code 3 does" grep -q "^code 3, .* goes on" "$scratch/out"
in_tree scripts/repeat.sh many a
check "repeat refuses what is no number" failed_with_one_line "'many' is no number of runs" usage
in_tree scripts/repeat.sh 2
check "repeat refuses to run nothing" failed_with_one_line "there is no command" usage

# --- slurm/*.sh

fresh_machine
header_is() { diff <(grep '^#SBATCH' slurm/l40.sh | sort) - >"$scratch/err"; }
check "the Slurm header asks for two L40s, as the published runs did" header_is <<'HEADER'
#SBATCH --cpus-per-task=24
#SBATCH --gres=gpu:l40:2
#SBATCH --job-name=tpsp-bench
#SBATCH --mem=192G
#SBATCH --nodes=1
#SBATCH --ntasks=2
#SBATCH --partition=gpu
#SBATCH --time=00:20:00
HEADER

in_tree env SLURM_SUBMIT_DIR="$scratch/tree" bash slurm/l40.sh
check "a job without the program is one line that says how to build it" \
  failed_with_one_line "no build/tpsp-bench in $scratch/tree" "--preset release"

mkdir "$scratch/tree/build"
cp "$scratch/bin/srun" "$scratch/tree/build/tpsp-bench"
# The submit folder counts, not the place of the script, which Slurm copies away.
cp "$scratch/tree/slurm/l40.sh" "$scratch/job"
in_tree env SLURM_SUBMIT_DIR="$scratch/tree" SLURM_JOB_ID=17 bash "$scratch/job" --seed 3
check "a job runs both plans over 32 layers" \
  called 'srun --mpi=pmix --ntasks=2 .* --tp --sp --device cuda --model llama-7b --layers 32 --dtype fp32 --batch 2 --seq 256,512,1024'
check "its rows go next to its log, further options last" \
  called 'srun .* --out results/slurm-17/results.csv --out results/slurm-17/results.jsonl --resume .* --seed 3$'
check "its log is there" [ -e "$scratch/tree/results/slurm-17/results.txt" ]

in_tree env SLURM_JOB_ID=18 TPSP_LAUNCHER=mpirun bash slurm/l40.sh
check "a job can be started with mpirun" called 'mpirun -n 2 --bind-to none build/tpsp-bench'
fake mpirun '[ -z "${TPSP_LAUNCHER:-}" ]'
in_tree env SLURM_JOB_ID=18 TPSP_LAUNCHER=mpirun bash slurm/l40.sh
check "the variable that chooses the launcher does not reach the program" [ "$status" = 0 ]
in_tree env TPSP_LAUNCHER=ssh bash slurm/l40.sh
check "another launcher is refused" failed_with_one_line "'ssh'" srun mpirun
fake srun 'exit 3'
in_tree env SLURM_JOB_ID=19 bash slurm/l40.sh
check "a job ends with the exit code of the run" [ "$status" = 3 ]
check "a run with bad rows is not queued again" not_called scontrol

fake srun ''
in_tree env SLURM_JOB_ID=20 SLURM_NTASKS=3 SLURM_CPUS_PER_TASK=5 bash slurm/cpu.sh --seq 8
check "a job on CPUs starts as many ranks as Slurm has tasks" \
  called 'srun --mpi=pmix --ntasks=3 --cpus-per-task=5 build/tpsp-bench .* --device cpu --seq 8$'
in_tree env SLURM_JOB_ID=21 SLURM_NTASKS=8 bash slurm/multi_node.sh
check "a job on several nodes starts all their ranks" called 'srun --mpi=pmix --ntasks=8 .* --tp --sp --device cuda'

array=(SLURM_JOB_ID=31 SLURM_ARRAY_JOB_ID=30 SLURM_ARRAY_TASK_MIN=1)
in_tree env "${array[@]}" SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_COUNT=4 \
  bash slurm/array.sh --suite hpml
check "a job of an array measures its part of the suite" \
  called 'srun .* --out results/slurm-30/part-2.csv --out results/slurm-30/part-2.jsonl .* --suite hpml --part 2/4$'
in_tree env "${array[@]}" SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_COUNT=4 bash slurm/array.sh
check "an array with gaps is refused" failed_with_one_line "not 1-N" PARTS
in_tree env "${array[@]}" SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_COUNT=1 PARTS=4 \
  bash slurm/array.sh
check "but where the parts are counted for it" called 'srun .* --part 3/4$'
in_tree bash slurm/array.sh
check "the array's script outside an array is one line" failed_with_one_line "not a job of an array"

fake srun 'echo "[rank 0] warning: ended by SIGUSR1 before its last case; --resume ..."; exit 3'
fake scontrol ''
in_tree env SLURM_JOB_ID=22 bash slurm/cpu.sh
check "a job that was ended before its time was up is queued again" called 'scontrol requeue 22'
fake scontrol 'exit 1'
in_tree env SLURM_JOB_ID=22 bash slurm/cpu.sh
check "where it can not be, it says so, and keeps the exit code" [ "$status" = 3 ]
check "on one line" grep -qF "submit it with --out results/slurm-22/results.jsonl" "$scratch/err"
fake srun 'exit 3'
in_tree env SLURM_JOB_ID=22 bash slurm/cpu.sh
check "a resumed job that then ends by itself is not queued again" not_called scontrol
fake srun 'trap "echo ended by SIGUSR1; exit 3" USR1; echo started; for ((i = 0; i < 100; ++i)); do read -rt 0.1 <> <(:); done'
(cd "$scratch/tree" && PATH=$scratch/bin SLURM_JOB_ID=23 exec bash slurm/cpu.sh) >"$scratch/out" 2>"$scratch/err" &
job=$!
until grep -qs started "$scratch/tree/results/slurm-23/results.txt"; do sleep 0.05; done
kill -USR1 "$job"
wait "$job"
check "a signal to the job's script reaches the launcher" [ $? = 3 ]
check "whose log says so" grep -q "ended by SIGUSR1" "$scratch/tree/results/slurm-23/results.txt"

[ $failures = 0 ] || { echo "$failures checks failed"; exit 1; }
