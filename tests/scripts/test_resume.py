#!/usr/bin/env python3
"""Kills runs of tpsp-bench with SIGKILL at random moments: every file parses, and --resume completes it.

Usage: test_resume.py PROGRAM [KILLS]
"""

import csv
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

from running import session_members

CASES = 12  # of the run below
ARGUMENTS = ["--model", "llama-tiny", "--seq", "4,8,16,32,64,128", "--reps", "40", "--warmup", "0",
             "--out", "r.csv", "--out", "r.jsonl"]


def environment(folder):
    keep = {k: v for k, v in os.environ.items() if not k.startswith("TPSP_")}
    return keep | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "TPSP_DEVICE": "cpu",
                   "TPSP_THREADS": "1",
                   # mpirun, killed as well, can not remove these files: they go with the folder.
                   "OMPI_MCA_btl_vader_backing_directory": str(folder)}


def start(program, folder, *more):
    command = ["mpirun", "-n", "2", "--oversubscribe", program, *ARGUMENTS, *more]
    return subprocess.Popen(command, cwd=folder, env=environment(folder), start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_all(process):
    for member in session_members(process.pid):
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()
    process.stderr.close()


def rows_of(folder):
    """The rows of both files; fails where one is torn."""
    table, lines = folder / "r.csv", folder / "r.jsonl"
    if not table.exists() or not lines.exists():
        return [], []
    for path in (table, lines):
        text = path.read_text()
        assert not text or text.endswith("\n"), f"{path} ends in a torn line"
    with table.open(newline="") as file:
        cells = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in cells), "a CSV row of another length"
    return cells, [json.loads(line) for line in lines.read_text().splitlines()]


def kill_once(program, folder, delay):
    process = start(program, folder)
    time.sleep(delay)
    kill_all(process)
    table, lines = rows_of(folder)
    assert len(lines) - len(table) in (0, 1), "JSON Lines are written first, one row at a time"
    return len(lines)


def resume(program, folder):
    process = start(program, folder, "--resume")
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 0, error
    for rows in rows_of(folder):
        keys = [row["key"] for row in rows]
        assert len(keys) == CASES and len(set(keys)) == CASES, f"{len(keys)} rows, {len(set(keys))} keys"


def refuse_second_writer(program, folder):
    first = start(program, folder, "--resume", "--reps", "4000")
    while first.poll() is None and not (folder / "r.jsonl").exists():
        time.sleep(0.05)
    time.sleep(1)
    second = start(program, folder)
    error = second.communicate(timeout=60)[1]
    kill_all(first)
    assert second.returncode == 6, f"the second writer ended with {second.returncode}"
    assert "another run is writing this file" in error, error


def main():
    program = os.path.abspath(sys.argv[1])
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    moments = random.Random(7)
    left = []
    for _ in range(kills):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            left.append(kill_once(program, folder, moments.uniform(0.3, 2.5)))
            resume(program, folder)
    with tempfile.TemporaryDirectory() as name:
        refuse_second_writer(program, pathlib.Path(name))
    print(f"{kills} kills left {min(left)} to {max(left)} of {CASES} rows; all were completed, none twice")


main()
