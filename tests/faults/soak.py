#!/usr/bin/env python3
"""Random faults in runs of tpsp-bench, one after the other: none hangs, loses or tears a row, or leaves anything behind.

Each fault has a kind, a rank, a moment and a backend, drawn by a seed. After it the results are read, and --resume
completes them. Usage: soak.py PROGRAM [FAULTS] [SEED]; a line for each fault on stdout, JSON.
"""

import contextlib
import csv
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))
from running import children, environment, left_in_shm, session_members  # noqa: E402

TIMEOUT_S = 3
MARGIN_S = 5
LENGTHS = [4, 8, 16, 32, 64, 128]
SIGNALS = {"kill": signal.SIGKILL, "segfault": signal.SIGSEGV, "abort": signal.SIGABRT, "terminate": signal.SIGTERM,
           "stop": signal.SIGSTOP, "ask to end": signal.SIGUSR1}
TO_LAUNCHER = {"interrupt mpirun": signal.SIGINT, "terminate mpirun": signal.SIGTERM}
KINDS = [*SIGNALS, *TO_LAUNCHER]
# What a run that meets its fault ends with; mpirun makes up its own codes for signals. 0 where it had come to its end.
CODES = {"stop": {0, 5}, "ask to end": {0, 3}}


def start(program, folder, fault, *more):
    arguments = ["--model", "llama-tiny", "--seq", ",".join(map(str, LENGTHS)), "--reps", "30", "--warmup", "0",
                 "--timeout", str(TIMEOUT_S), "--backend", fault["backend"], "--out", "r.csv", "--out", "r.jsonl"]
    if fault["workload"] == "train":
        arguments += ["--workload", "train", "--reps", "8"]
    command = ["mpirun", "-n", str(fault["ranks"]), "--oversubscribe", program, *arguments, *more]
    return subprocess.Popen(command, cwd=folder, env=environment() | {"TMPDIR": str(folder)}, start_new_session=True,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lingering(session):
    """Processes that are there two seconds after its launcher."""
    deadline = time.monotonic() + 2
    while (left := session_members(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def rows_of(folder):
    """The rows of both files; fails where one is torn or they differ."""
    table, lines = folder / "r.csv", folder / "r.jsonl"
    if not table.exists() or not lines.exists():
        return []
    for path in (table, lines):
        text = path.read_text()
        assert not text or text.endswith("\n"), f"{path.name} ends in a torn line"
    with table.open(newline="") as file:
        cells = list(csv.DictReader(file))
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(rows) - len(cells) in (0, 1), f"{len(rows)} rows in JSON Lines, {len(cells)} in CSV"
    assert [row["key"] for row in rows][:len(cells)] == [row["key"] for row in cells], "the files differ"
    for row in rows:
        assert (row["status"], row["check"]) == ("ok", "pass"), row
    assert len({row["key"] for row in rows}) == len(rows), "a case twice"
    return rows


def wait_for_run(fault, launcher, folder):
    """A rank that stops while MPI starts is not watched yet, and one that is asked to end does not listen yet."""
    ready = (folder / "r.jsonl").exists if fault["kind"] in CODES else lambda: len(children(launcher)) == fault["ranks"]
    deadline = time.monotonic() + 60
    while not ready() and launcher.poll() is None:
        assert time.monotonic() < deadline, "no run within a minute"
        time.sleep(0.02)


def do(fault, launcher, folder):
    """Seconds until the launcher had ended after the fault."""
    wait_for_run(fault, launcher, folder)
    time.sleep(fault["moment_s"])
    with contextlib.suppress(ProcessLookupError, KeyError):  # the run had ended
        if fault["kind"] in TO_LAUNCHER:
            launcher.send_signal(TO_LAUNCHER[fault["kind"]])
        else:
            os.kill(children(launcher)[fault["rank"]], SIGNALS[fault["kind"]])
    begin = time.monotonic()
    # One that is asked to end measures its case to the end.
    patience_s = TIMEOUT_S + MARGIN_S if fault["kind"] == "stop" else 60
    try:
        output = launcher.communicate(timeout=patience_s)[0]
    except subprocess.TimeoutExpired:
        for process in session_members(launcher.pid):
            os.kill(process, signal.SIGKILL)
        raise AssertionError(f"no end within {patience_s} s: {launcher.communicate()[0]}") from None
    return time.monotonic() - begin, output


def check(program, fault):
    before = left_in_shm()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        launcher = start(program, folder, fault)
        seconds, output = do(fault, launcher, folder)
        code = launcher.returncode
        rows = rows_of(folder)
        complete = len(rows) == 2 * len(LENGTHS)
        if fault["kind"] in CODES:
            assert code in CODES[fault["kind"]], f"exit code {code}: {output}"
        assert complete or code != 0, f"exit code 0 with {len(rows)} rows: {output}"
        left = lingering(launcher.pid)
        assert not left, f"processes are left: {left}"
        assert left_in_shm() <= before, f"in /dev/shm: {left_in_shm() - before}"
        files = sorted(path.name for path in folder.iterdir())
        assert files == [n for n in ("r.csv", "r.jsonl") if n in files], f"files are left: {files}"
        resumed = start(program, folder, fault, "--resume")
        output = resumed.communicate(timeout=120)[0]
        assert resumed.returncode == 0, f"resumed: {output}"
        after = rows_of(folder)
        assert after[:len(rows)] == rows and len(after) == 2 * len(LENGTHS), f"resumed: {len(after)} rows"
    return {"code": code, "seconds": round(seconds, 2), "rows": len(rows)}


def faults(count, seed):
    chance = random.Random(seed)
    for number in range(count):
        ranks = chance.choice([2, 2, 4])
        yield {"number": number, "kind": chance.choice(KINDS), "ranks": ranks, "rank": chance.randrange(ranks),
               "moment_s": round(chance.uniform(0.1, 4), 3), "backend": chance.choice(["shm", "mpi", "gloo"]),
               "workload": chance.choice(["forward", "forward", "train"])}


def main():
    program = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    failed = 0
    for fault in faults(count, seed):
        try:
            outcome = check(program, fault) | {"passed": True}
        except AssertionError as error:
            outcome = {"passed": False, "why": str(error)}
            failed += 1
        print(json.dumps(fault | outcome), flush=True)
    print(f"{count} faults, {failed} not survived", file=sys.stderr)
    sys.exit(1 if failed else 0)


main()
