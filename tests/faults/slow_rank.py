#!/usr/bin/env python3
"""A rank whose core is taken from it: its row names it. Needs two cores, and to run alone. Usage: slow_rank.py PROGRAM"""

import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))
from running import end, rows_in, start  # noqa: E402

SKIPPED = 77
SLOWED = 1
BUSY = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
# A forward of some hundred milliseconds, so that the scheduler has divided the core before it ends.
ARGUMENTS = ["--model", "llama-tiny", "--tp", "--seq", "1024", "--batch", "16", "--reps", "3", "--warmup", "1", "--check",
             "off", "--backend", "mpi", "--bind", "off"]


def warnings_of_run(program, cores):
    """The row's warnings: flag and text."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = f'exec taskset -c $([ "$OMPI_COMM_WORLD_RANK" = 0 ] && echo {cores[0]} || echo {cores[1]}) "$@"'
        launcher = start("sh", folder, "--bind-to", "none", arguments=["-c", pinned, "sh", program, *ARGUMENTS])
        output = end(launcher, 120)
        assert output is not None and launcher.returncode == 0, output
        rows = rows_in(pathlib.Path(folder))
    assert len(rows) == 1, rows
    return dict(zip(rows[0].get("warnings", []), rows[0].get("warning_texts", [])))


def main():
    program = os.path.abspath(sys.argv[1])
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        print("skipped: one core")
        return SKIPPED
    others = [subprocess.Popen([sys.executable, "-c", BUSY, str(cores[SLOWED])]) for _ in range(2)]
    try:
        warnings = warnings_of_run(program, cores)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert warnings.get("slow-rank", "").startswith(f"rank {SLOWED} on "), warnings
    print(warnings["slow-rank"])
    return 0


sys.exit(main())
