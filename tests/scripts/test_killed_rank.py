#!/usr/bin/env python3
"""Kills one of two ranks in the midst of a run with the backend shm: the other does not wait, and no memory is left.

Usage: test_killed_rank.py PROGRAM
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ARGUMENTS = ["--model", "llama-tiny", "--seq", "128", "--reps", "1000000", "--warmup", "0", "--backend", "shm"]
TRIES = 5  # a rank that is killed between two forwards is missed by MPI, not by shm
PATIENCE_S = 20


def environment():
    keep = {k: v for k, v in os.environ.items() if not k.startswith("TPSP_")}
    return keep | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "TPSP_DEVICE": "cpu",
                   "TPSP_THREADS": "1", "TPSP_PEAKS": "off", "TPSP_GEMM": "plain"}  # measured in MPI's barriers


def start(program, folder, *launcher_options):
    command = ["mpirun", "-n", "2", "--oversubscribe", *launcher_options, program, *ARGUMENTS]
    return subprocess.Popen(command, cwd=folder, env=environment(), start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rank_of(process):
    found = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", (process / "environ").read_bytes())
    return int(found[1]) if found else None


def children(launcher):
    """The launcher's processes by rank."""
    ranks = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            rank = rank_of(entry) if parent == launcher.pid else None
        except (OSError, IndexError):
            continue
        if rank is not None:
            ranks[rank] = int(entry.name)
    return ranks


def measuring_ranks(launcher, folder):
    """Its two ranks, once the memory that they share is there and the forwards have begun."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert launcher.poll() is None, launcher.communicate()[0]
        ranks = children(launcher)
        maps = pathlib.Path(f"/proc/{ranks[0]}/maps").read_text() if 0 in ranks else ""
        if len(ranks) == 2 and "/osc_sm." in maps and (folder / "tpsp-results.jsonl").exists():
            time.sleep(1)
            return ranks, pathlib.Path(f"/proc/{ranks[0]}/maps").read_text()
        time.sleep(0.05)
    raise AssertionError("no run with shared memory within a minute")


def job_of(maps):
    """The number in the names of the job's files. Its window has lost its name already, so that none can be left."""
    windows = set(re.findall(r"(/\S*/osc_sm\.\S+)( \(deleted\))?$", maps, re.MULTILINE))
    assert windows and all(deleted for _, deleted in windows), f"a window with a name would be left: {windows}"
    return re.search(r"\.([0-9a-f]+)\.\d+\.\d+$", next(iter(windows))[0])[1]


def left_by(job):
    return [path.name for path in pathlib.Path("/dev/shm").iterdir() if f".{job}." in path.name]


def end(launcher):
    """Its output; None where it does not come to an end by itself."""
    try:
        return launcher.communicate(timeout=PATIENCE_S)[0]
    except subprocess.TimeoutExpired:
        for process in children(launcher).values():
            os.kill(process, signal.SIGKILL)
        launcher.terminate()
        launcher.communicate()
        return None


def kill_rank(program, *launcher_options, launcher_looks_away=False):
    with tempfile.TemporaryDirectory() as name:
        launcher = start(program, name, *launcher_options)
        ranks, maps = measuring_ranks(launcher, pathlib.Path(name))
        job = job_of(maps)
        if launcher_looks_away:
            launcher.send_signal(signal.SIGSTOP)
        os.kill(ranks[1], signal.SIGKILL)
        if launcher_looks_away:
            time.sleep(2)
            launcher.send_signal(signal.SIGCONT)
        output = end(launcher)
    assert not left_by(job), f"left in /dev/shm: {left_by(job)}"
    return launcher.returncode, output, ranks


def check_job_ends(program):
    begin = time.monotonic()
    code, output, _ = kill_rank(program)
    assert output is not None, f"the job went on for {PATIENCE_S} s"
    assert code != 0, output
    assert "signal 9" in output or "is gone" in output, output
    return time.monotonic() - begin


def check_survivor_says(program, *launcher_options, **how):
    """The launcher leaves the survivor alone, which then finds out by itself."""
    for _ in range(TRIES):
        _, output, ranks = kill_rank(program, *launcher_options, **how)
        if output is not None and "is gone" in output:
            expected = f"tpsp-bench: error: rank 0: backend shm: rank 1 (process {ranks[1]}) is gone"
            assert expected in output, output
            return
    raise AssertionError(f"the survivor was silent {TRIES} times; lastly: {output}")


def main():
    program = os.path.abspath(sys.argv[1])
    seconds = check_job_ends(program)
    check_survivor_says(program, "--enable-recovery")
    check_survivor_says(program, launcher_looks_away=True)  # the killed rank is a zombie as long
    print(f"a job with a killed rank was over {seconds:.1f} s after its start; the survivor said why; nothing was left")


main()
