#!/usr/bin/env python3
"""Asks a run to end early, with SIGUSR1 to one rank or to mpirun: it ends after its case, and --resume does the rest.

Usage: test_stop_request.py PROGRAM
"""

import os
import pathlib
import signal
import sys
import tempfile
import time

from running import children, end, rows_in, start

LENGTHS = [16, 32, 48, 64, 80, 96, 112, 128]
ARGUMENTS = ["--model", "llama-tiny", "--seq", ",".join(map(str, LENGTHS)), "--reps", "100", "--backend", "shm"]
COMM = ["comm", "--op", "all-reduce", "--bytes", "4K..4M*2", "--min-time", "0.5", "--backend", "shm",
        "--buffer", "user"]


def check(program, arguments, rows_at_most, rows_in_all, to_launcher):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        launcher = start(program, folder, arguments=arguments)
        deadline = time.monotonic() + 60
        while not rows_in(folder):
            assert launcher.poll() is None and time.monotonic() < deadline, launcher.communicate()[0]
            time.sleep(0.01)
        os.kill(launcher.pid if to_launcher else children(launcher)[1], signal.SIGUSR1)
        output = end(launcher, 60)
        assert output is not None, "it did not end"
        assert launcher.returncode == 3, f"exit code {launcher.returncode}: {output}"
        assert "ended by SIGUSR1 before its last case" in output, output
        rows = rows_in(folder)
        assert 0 < len(rows) <= rows_at_most, f"{len(rows)} rows"
        assert all(row["status"] == "ok" for row in rows), rows
        resumed = start(program, folder, arguments=[*arguments, "--resume"])
        output = end(resumed, 120)
        assert output is not None and resumed.returncode == 0, output
        after = rows_in(folder)
        assert after[:len(rows)] == rows and len(after) == rows_in_all, f"{len(after)} rows"
        assert len({row["key"] for row in after}) == rows_in_all
    return len(rows)


def main():
    program = os.path.abspath(sys.argv[1])
    everything = 2 * len(LENGTHS)
    for to_launcher in (False, True):
        rows = check(program, ARGUMENTS, everything - 2, everything, to_launcher)
        print(f"SIGUSR1 to {'mpirun' if to_launcher else 'rank 1'}: {rows} of {everything} rows, then the rest")
    rows = check(program, COMM, 10, 11, False)
    print(f"SIGUSR1 to a rank of comm: {rows} of 11 rows, then the rest")


main()
