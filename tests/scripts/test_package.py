#!/usr/bin/env python3
"""Makes the packages, and runs the program of each from a folder of its own, without anything of this repository.

It compiles the sources of each library together, as scripts/bench.sh does too; the tests compile each alone, and names may
clash in one alone. Usage: test_package.py PROGRAM, the one that the tests use.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

TREE = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent", "OMPI_ALLOW_RUN_AS_ROOT": "1",
               "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
RUN = ["--model", "llama-tiny", "--seq", "16", "--reps", "2", "--device", "cpu", "--gemm-cache", "off", "--out", "r.jsonl"]


def output_of(*command, cwd=None, env=None):
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def check_runs(program, of_its_own):
    """`of_its_own`: whether it has all that it needs beside it or from the system."""
    assert program.is_file(), f"no {program}"
    if of_its_own:
        libraries = output_of("ldd", program, env=ENVIRONMENT)
        assert not any(words in libraries for words in ("not found", str(TREE), "site-packages")), libraries
        path = [line for line in output_of("readelf", "-d", program).splitlines() if "RUNPATH" in line]
        assert len(path) == 1 and path[0].endswith("[$ORIGIN/../lib/tpsp-bench]"), path
    with tempfile.TemporaryDirectory() as folder:
        output_of(program, "info", cwd=folder, env=ENVIRONMENT)
        output_of("mpirun", "-n", "2", "--oversubscribe", program, *RUN, cwd=folder, env=ENVIRONMENT)
        rows = [json.loads(line) for line in (pathlib.Path(folder) / "r.jsonl").read_text().splitlines()]
    assert [(row["plan"], row["status"], row["check"]) for row in rows] == \
        [("tp", "ok", "pass"), ("tp+sp", "ok", "pass")], rows


def the_one(pattern):
    found = list((TREE / "build/package").glob(pattern))
    assert len(found) == 1, found
    return found[0]


def main():
    built = pathlib.Path(sys.argv[1]).resolve()
    print(output_of(TREE / "scripts/package.sh", "-DTPSP_WERROR=ON"))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        output_of("tar", "-xf", the_one("tpsp-bench-*.tar.gz"), "-C", folder)
        tops = list(folder.iterdir())
        assert len(tops) == 1 and tops[0].name.startswith("tpsp-bench-"), tops
        check_runs(tops[0] / "bin/tpsp-bench", True)
        assert list(tops[0].glob("share/doc/tpsp-bench/licences/torch/LICENSE")), "LibTorch's licence is missing"
    print("the .tar.gz runs from a folder of its own")
    with tempfile.TemporaryDirectory() as name:
        package = the_one("tpsp-bench_*.deb")
        output_of("dpkg-deb", "-x", package, name)
        check_runs(pathlib.Path(name) / "usr/bin/tpsp-bench", True)
        needs = output_of("dpkg-deb", "-f", package, "Depends")
        for wanted in ("openmpi-bin", "libopenmpi3", "libfmt9", "libyaml-cpp0.7", "libc6"):
            assert wanted in needs, needs
    print("so does the .deb's")
    with tempfile.TemporaryDirectory() as name:
        output_of(TREE / ".venv/bin/cmake", "--install", built.parent, "--prefix", name)
        check_runs(pathlib.Path(name) / "bin/tpsp-bench", False)
    print("and the program that is installed from the tests' build")


os.umask(0o022)
main()
