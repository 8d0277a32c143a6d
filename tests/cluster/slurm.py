#!/usr/bin/env python3
"""The job scripts under a real Slurm: one node of this machine, which says that it has 48 processors and two L40s.

Slurm and munge run as processes of this test, with files in a folder of its own, and listen on 127.0.0.1 alone.
Usage: slurm.py PROGRAM. Exits with 77 where it can not run: not root, or without Slurm.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
TREE = pathlib.Path(__file__).resolve().parents[2]
DAEMONS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "mpirun"]

SLURM_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=48 RealMemory=200000 Gres=gpu:l40:2 State=UNKNOWN
PartitionName=gpu Nodes={host} Default=YES MaxTime=60 State=UP
"""


def skip(why):
    print(f"not run: {why}")
    sys.exit(SKIPPED)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, seconds, condition):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {seconds} s")


class Cluster:
    """Slurm's daemons for as long as the object is entered."""

    def __init__(self, folder):
        self.folder = folder
        self.daemons = []
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("TPSP_", "SLURM", "OMPI_", "PMIX_"))}
        self.environment = keep | {
            "SLURM_CONF": str(folder / "slurm.conf"), "TPSP_PEAKS": "off", "TPSP_GEMM": "plain",
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1"}

    def __enter__(self):
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(
            host=host, folder=self.folder, controller_port=free_port(), node_port=free_port()))
        (self.folder / "gres.conf").write_text(f"NodeName={host} Name=gpu Type=l40 File=/dev/null,/dev/zero\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        at = {name: f"{self.folder}/munge.{name}" for name in ("socket", "pid", "log", "seed")}
        self.start("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={at['socket']}",
                   f"--pid-file={at['pid']}", f"--log-file={at['log']}", f"--seed-file={at['seed']}")
        wait_for("munge's socket", 10, (self.folder / "munge.socket").exists)
        self.start("slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        self.start("slurmd", "-D", "-f", str(self.folder / "slurm.conf"), "-N", host)
        wait_for("an idle node", 60, lambda: "idle" in self.run("sinfo", "-h", "-o", "%t", check=False).stdout)
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-2000:]}")
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def start(self, *command):
        log = (self.folder / f"{command[0]}.out.log").open("w")
        self.daemons.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))

    def run(self, *command, cwd=None, check=True, **variables):
        done = subprocess.run(command, cwd=cwd, env=self.environment | variables, capture_output=True, text=True)
        if check:
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def submit(self, tree, *command, **variables):
        """The job's number."""
        return self.run("sbatch", "--parsable", *command, cwd=tree, **variables).stdout.strip().split(";")[0]

    def state(self, job):
        return self.run("squeue", "-h", "-a", "-j", job, "-t", "all", "-o", "%T", check=False).stdout.split()

    def exit_code(self, job):
        """Once the job is over."""
        ended = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"}
        wait_for(f"the end of job {job}", 120, lambda: set(self.state(job) or ["unknown"]) <= ended)
        shown = self.run("scontrol", "show", "job", job).stdout
        return {int(word.split("=")[1].split(":")[0]) for word in shown.split() if word.startswith("ExitCode=")}


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_checked(rows, count, ranks):
    assert len(rows) == count, f"{len(rows)} rows"
    for row in rows:
        assert (row["status"], row["check"], row["world"]) == ("ok", "pass", ranks), row


def tree_with(program, folder):
    """What a job is submitted from: the scripts and the built program."""
    tree = folder / "tree"
    (tree / "build").mkdir(parents=True)
    shutil.copytree(TREE / "slurm", tree / "slurm")
    (tree / "build" / "tpsp-bench").symlink_to(program)
    return tree


TINY = ["--model", "llama-tiny", "--seq", "8,16", "--reps", "3", "--warmup", "0", "--threads", "1"]


def check_launcher(cluster, tree, launcher):
    job = cluster.submit(tree, "slurm/cpu.sh", *TINY, TPSP_LAUNCHER=launcher)
    assert cluster.exit_code(job) == {0}, (tree / f"slurm-{job}.out").read_text()
    assert_checked(rows_of(tree / f"results/slurm-{job}/results.jsonl"), 4, 2)
    print(f"sbatch slurm/cpu.sh with {launcher}: 4 checked rows")


def check_l40(cluster, tree):
    job = cluster.submit(tree, "slurm/l40.sh", "--device", "cpu", "--layers", "1", *TINY)
    assert cluster.exit_code(job) == {0}, (tree / f"slurm-{job}.out").read_text()
    assert_checked(rows_of(tree / f"results/slurm-{job}/results.jsonl"), 10, 2)  # its own lengths and these
    seen = cluster.run("srun", "--gres=gpu:l40:2", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES").stdout.strip()
    assert seen == "0,1", seen
    print("sbatch slurm/l40.sh: its header gets two L40s, 10 checked rows")


def check_requeue(cluster, tree, launcher):
    lengths = [8 * i for i in range(1, 25)]
    job = cluster.submit(tree, "slurm/cpu.sh", "--model", "llama-tiny", "--seq", ",".join(map(str, lengths)),
                         "--reps", "100", "--warmup", "0", "--threads", "1", TPSP_LAUNCHER=launcher)
    path = tree / f"results/slurm-{job}/results.jsonl"
    wait_for("the first row", 60, lambda: path.exists() and path.read_text().count("\n") > 1)
    cluster.run("scancel", "--batch", "--signal=USR1", job)
    log = tree / f"results/slurm-{job}/results.txt"
    wait_for("the end of its case", 60, lambda: "ended by SIGUSR1" in log.read_text())
    first = len(rows_of(path))
    assert 0 < first < 2 * len(lengths), f"{first} rows"
    wait_for("a queued job", 30, lambda: cluster.state(job) == ["PENDING"])
    time.sleep(5)  # a node refuses a job whose last run it has just ended
    cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm would wait for two minutes
    assert cluster.exit_code(job) == {0}, log.read_text()
    assert_checked(rows_of(path), 2 * len(lengths), 2)
    print(f"{launcher}: SIGUSR1 after {first} of {2 * len(lengths)} rows: queued again, the rest measured")


def check_array(cluster, tree):
    (tree / "suite.yaml").write_text("model: llama-tiny\nseq: [8, 16, 24]\nreps: 2\nwarmup: 0\nthreads: 1\n"
                                     "cases:\n  - {dtype: fp32}\n  - {dtype: bf16}\n")
    job = cluster.submit(tree, "--array=1-4", "slurm/array.sh", "--suite", "suite.yaml")
    assert cluster.exit_code(job) == {0}, "\n".join(path.read_text() for path in tree.glob(f"slurm-{job}_*.out"))
    parts = sorted(str(path) for path in (tree / f"results/slurm-{job}").glob("part-*.jsonl"))
    assert len(parts) == 4, parts
    cluster.run("build/tpsp-bench", "merge", *parts, "-o", "all.jsonl", cwd=tree)
    assert_checked(rows_of(tree / "all.jsonl"), 12, 2)
    print("sbatch slurm/array.sh: a suite of 12 rows by four jobs, merged")


def check_steps(cluster, tree):
    """Ranks that Slurm starts without PMIx know nothing of each other, and say so."""
    done = cluster.run("srun", "--mpi=none", "--ntasks=2", "build/tpsp-bench", *TINY, cwd=tree, check=False)
    assert done.returncode != 0 and "srun --mpi=pmix" in done.stderr, done.stdout + done.stderr
    print("srun without PMIx: refused, with the remedy")


def main():
    if os.geteuid() != 0:
        skip("Slurm's daemons want root")
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        skip(f"not installed: {', '.join(missing)} (scripts/test.sh --cluster installs them)")
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        tree = tree_with(program, folder)
        with Cluster(folder) as cluster:
            check_launcher(cluster, tree, "srun")
            check_launcher(cluster, tree, "mpirun")
            check_l40(cluster, tree)
            check_steps(cluster, tree)
            check_array(cluster, tree)
            check_requeue(cluster, tree, "srun")
            check_requeue(cluster, tree, "mpirun")


main()
