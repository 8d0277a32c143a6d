#!/usr/bin/env python3
"""Kills one of two ranks in the midst of a run with the backend shm: the other does not wait, and no memory is left.

Usage: test_killed_rank.py PROGRAM
"""

import os
import pathlib
import signal
import sys
import tempfile
import time

from running import end, job_of, left_by, measuring_ranks, start

ARGUMENTS = ["--model", "llama-tiny", "--seq", "128", "--reps", "1000000", "--warmup", "0", "--backend", "shm"]
TRIES = 5  # a rank that is killed between two forwards is missed by MPI, not by shm
PATIENCE_S = 20


def kill_rank(program, *launcher_options, launcher_looks_away=False):
    with tempfile.TemporaryDirectory() as name:
        launcher = start(program, name, *launcher_options, arguments=ARGUMENTS)
        ranks, maps = measuring_ranks(launcher, pathlib.Path(name))
        job = job_of(maps)
        if launcher_looks_away:
            launcher.send_signal(signal.SIGSTOP)
        os.kill(ranks[1], signal.SIGKILL)
        if launcher_looks_away:
            time.sleep(2)
            launcher.send_signal(signal.SIGCONT)
        output = end(launcher, PATIENCE_S)
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
