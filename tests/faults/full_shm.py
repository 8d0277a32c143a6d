#!/usr/bin/env python3
"""/dev/shm that is full: ranks that would share memory there are refused before they use it, and it stays empty.

Its /dev/shm is one of a mount namespace of its own, of 2 MB. Usage: full_shm.py PROGRAM
Ends with 77 where that can not be made.
"""

import os
import shlex
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "scripts"))
from running import environment, rows_in  # noqa: E402

SKIPPED = 77


def within(size, command, folder):
    """Runs it where /dev/shm has so many bytes; what is left there is an error."""
    script = (f"mount -t tmpfs -o size={size} tmpfs /dev/shm && {{ {command}; code=$?; "
              '[ -z "$(ls /dev/shm)" ] || { echo "left: $(ls /dev/shm)" >&2; exit 99; }; exit $code; }')
    return subprocess.run(["unshare", "--mount", "sh", "-c", script], cwd=folder, env=environment(), capture_output=True,
                          text=True, timeout=120, check=False)


def main():
    program = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        probe = within("64k", "true", folder)
        if probe.returncode != 0:
            print(f"skipped: no /dev/shm of its own: {probe.stderr.strip()}")
            return SKIPPED
        # Open MPI's own messages would want some of it too.
        run = ["mpirun", "-n", "2", "--oversubscribe", "--mca", "btl_vader_backing_directory", folder, program, "--model",
               "llama-tiny", "--seq", "16", "--reps", "2", "--out", "rows.jsonl", "--backend", "shm"]
        full = within("2m", shlex.join(run), folder)
        assert full.returncode == 3, f"exit code {full.returncode}: {full.stdout}{full.stderr}"
        expected = ["of shared memory, and", "are free", "docker run --shm-size", "--backend mpi"]
        for words in expected:
            assert words in full.stderr, full.stderr
        assert not rows_in(folder, "rows.jsonl")
        there = within("1g", shlex.join(run), folder)
        assert there.returncode == 0, there.stderr
        assert [row["status"] for row in rows_in(folder, "rows.jsonl")] == ["ok", "ok"]
    print("/dev/shm of 2 MB: refused, with the remedy; of 1 GB: measured")
    return 0


sys.exit(main())
