#!/usr/bin/env python3
"""Stops one rank in the midst of a run: the others wait no longer than the timeout, name it, and keep finished rows.

Usage: test_stopped_rank.py PROGRAM
"""

import os
import pathlib
import re
import signal
import sys
import tempfile
import time

from running import all_gone, children, end, left_in_shm, rows_in, start

TIMEOUT_S = 3
MARGIN_S = 5  # beyond the timeout; this test runs alone
FOREVER = ["--seq", "64", "--reps", "1000000", "--warmup", "0"]
MODEL = ["--model", "llama-tiny", "--timeout", str(TIMEOUT_S)]


def launched(program, folder, ranks, arguments):
    """A run in the midst of a row, and its ranks' processes."""
    launcher = start(program, folder, arguments=[*arguments, "--out", "now.jsonl"], ranks=ranks)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert launcher.poll() is None, launcher.communicate()[0]
        processes = children(launcher)
        if len(processes) == ranks and (folder / "now.jsonl").exists():
            time.sleep(2)
            return launcher, processes
        time.sleep(0.05)
    raise AssertionError("no run within a minute")


def check_stop(program, backend, ranks, stopped):
    """Stops rank `stopped` while forwards are timed."""
    case = f"backend {backend}, {ranks} ranks, rank {stopped} stopped"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # a row that is finished before
        before = start(program, folder, arguments=[*MODEL, "--tp", "--seq", "16", "--reps", "3", "--backend", backend],
                       ranks=ranks)
        assert before.communicate(timeout=60)[0] is not None and before.returncode == 0, case
        rows = rows_in(folder)
        assert len(rows) == 1, case
        in_shm = left_in_shm()
        launcher, processes = launched(program, folder, ranks, [*MODEL, *FOREVER, "--backend", backend])
        begin = time.monotonic()
        os.kill(processes[stopped], signal.SIGSTOP)
        output = end(launcher, TIMEOUT_S + MARGIN_S)
        seconds = time.monotonic() - begin
        assert output is not None, f"{case}: it went on for {seconds:.1f} s"
        assert launcher.returncode == 5, f"{case}: exit code {launcher.returncode}\n{output}"
        expected = rf"error: timed out: rank {stopped} on \S+ \(pid {processes[stopped]}\) did not answer"
        assert re.search(expected, output), f"{case}: {output}"
        for rank in set(range(ranks)) - {stopped}:
            assert f"tpsp-bench: rank {rank} on " in output, f"{case}: {output}"
        assert output.count("error: timed out") == 1, f"{case}: {output}"
        assert rows_in(folder) == rows, f"{case}: {rows_in(folder)}"
        assert all_gone(processes.values()), f"{case}: a process is left"
        assert left_in_shm() <= in_shm, f"{case}: left in /dev/shm: {left_in_shm() - in_shm}"
    return seconds


def check_resumed(program):
    """A rank that is stopped for less than the timeout, and goes on."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        launcher, processes = launched(program, folder, 2,
                                       [*MODEL, "--seq", "64,128", "--reps", "400", "--backend", "shm"])
        os.kill(processes[1], signal.SIGSTOP)
        time.sleep(TIMEOUT_S - 2)
        os.kill(processes[1], signal.SIGCONT)
        output = end(launcher, 120)
        assert output is not None and launcher.returncode == 0, output


def main():
    program = os.path.abspath(sys.argv[1])
    for backend, ranks, stopped in [("shm", 2, 1), ("shm", 2, 0), ("mpi", 2, 1), ("mpi", 4, 0), ("gloo", 2, 1)]:
        seconds = check_stop(program, backend, ranks, stopped)
        print(f"{backend}, {ranks} ranks, rank {stopped} stopped: over after {seconds:.1f} s")
    check_resumed(program)


main()
