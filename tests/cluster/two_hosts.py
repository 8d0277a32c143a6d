#!/usr/bin/env python3
"""Runs tpsp-bench over two hosts, which are network namespaces of this one: the backend hierarchical is taken by itself,
is right, and counts the bytes that mpi counts. Nothing outside the two is talked to.

Usage: two_hosts.py PROGRAM COLLECTIVES
COLLECTIVES is mpi/collectives_over_ranks.cpp, which knows sizes that PROGRAM never has.
Ends with 77 where namespaces can not be made.
"""

import csv
import os
import pathlib
import sys
import tempfile

from hosts import SKIPPED, Hosts, Unavailable, run

PLANS = "tp,tp+sp,tp-attention-sp-ffn,tp-sharded-logits,ffn-only,attention-only"
FORWARDS = ["--model", "llama-tiny", "--plan", PLANS, "--seq", "22", "--batch", "1", "--reps", "2", "--warmup", "1",
            "--bind", "off"]
COLLECTIVES = ["comm", "--bytes", "4096,1000012", "--reps", "3"]


def rows_of(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def require_right(rows, number):
    assert len(rows) == number, f"{len(rows)} rows instead of {number}"
    for row in rows:
        assert row["status"] == "ok" and row["check"] == "pass", row


def over_hosts(hosts, slots, arguments, folder):
    return run(hosts.mpirun(folder, slots, arguments), folder)


def check_forwards(hosts, program, ranks_a_host, dtype):
    ranks = 2 * ranks_a_host
    arguments = [program, *FORWARDS, "--dtype", dtype]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        code, output = over_hosts(hosts, [ranks_a_host] * 2, [*arguments, "--out", "hosts.csv"], folder)
        assert code == 0, output
        code, output = run(["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", *arguments, "--backend",
                            "mpi", "--out", "one.csv"], folder)
        assert code == 0, output
        two, one = rows_of(folder, "hosts.csv"), rows_of(folder, "one.csv")
    for rows, backend in ((two, "hierarchical"), (one, "mpi")):
        require_right(rows, len(PLANS.split(",")))
        assert {row["backend"] for row in rows} == {backend}, rows
    sent = [{(row["plan"], row["seq"]): row["comm_bytes"] for row in rows} for rows in (two, one)]
    assert sent[0] == sent[1], sent
    assert {row["world"] for row in two} == {str(ranks)}, two


def check_collectives(hosts, program, odd_sizes, ranks_a_host):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        slots = [ranks_a_host] * 2
        code, output = over_hosts(hosts, slots, [odd_sizes], folder)
        assert code == 0 and "all right" in output, output
        code, output = over_hosts(hosts, slots, [program, *COLLECTIVES, "--backend", "hierarchical,mpi", "--dtype",
                                                 "fp32,bf16", "--out", "comm.csv"], folder)
        assert code == 0, output
        rows = rows_of(folder, "comm.csv")
    assert {row["backend"] for row in rows} == {"hierarchical", "mpi"}, rows
    assert all(row["wrong"] == "0" for row in rows), rows
    return len(rows)


def check_uneven_hosts(hosts, program):
    """Two ranks and one: refused on both hosts, so that auto falls back on mpi on all ranks."""
    slots = [2, 1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        code, output = over_hosts(hosts, slots, [program, *COLLECTIVES, "--backend", "hierarchical"], folder)
        assert code != 0 and "equally many ranks on every host" in output, output
        code, output = over_hosts(hosts, slots, [program, *COLLECTIVES, "--backend", "auto", "--out", "comm.csv"], folder)
        assert code == 0, output
        assert {row["backend"] for row in rows_of(folder, "comm.csv")} == {"mpi"}, output


def check_one_host(program):
    with tempfile.TemporaryDirectory() as name:
        code, output = run(["mpirun", "-n", "2", "--oversubscribe", program, *COLLECTIVES, "--backend", "hierarchical"],
                           name)
    assert code != 0 and "all ranks are on this one" in output, output


def main():
    program, odd_sizes = map(os.path.abspath, sys.argv[1:3])
    try:
        with Hosts(2) as hosts:
            for ranks_a_host in (1, 2):
                rows = check_collectives(hosts, program, odd_sizes, ranks_a_host)
                for dtype in ("fp32", "bf16"):
                    check_forwards(hosts, program, ranks_a_host, dtype)
                print(f"two hosts with {ranks_a_host} each: {rows} rows of collectives, all plans right")
            check_uneven_hosts(hosts, program)
    except Unavailable as why:
        print(f"skipped: no network namespaces here: {why}")
        return SKIPPED
    check_one_host(program)
    return 0


sys.exit(main())
