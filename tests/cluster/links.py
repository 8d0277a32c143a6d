#!/usr/bin/env python3
"""Runs over two and three hosts whose network is slow, loses packets, or is cut: results stay right, a run that can not
go on ends by itself within its timeout, says which rank is out of reach, and keeps finished rows.

Hosts are network namespaces. Usage: links.py PROGRAM. Ends with 77 where they can not be made.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from hosts import SKIPPED, Hosts, Unavailable, run  # finds running.py too
from running import is_alive, rows_in

TIMEOUT_S = 3
MARGIN_S = 5
TINY = ["--model", "llama-tiny", "--timeout", str(TIMEOUT_S), "--bind", "off", "--warmup", "1"]
STEPS = ["--workload", "train", "--dp", "3", "--batch", "3"]  # three ranks can not share the model's eight heads


def finished(hosts, folder, slots, arguments):
    """The rows of a run that comes to its end."""
    code, output = run(hosts.mpirun(folder, slots, [*arguments, "--out", "rows.jsonl"]), folder)
    assert code == 0, output
    return rows_in(folder, "rows.jsonl")


def assert_right(rows, count):
    assert len(rows) == count, f"{len(rows)} rows instead of {count}"
    for row in rows:
        assert (row["status"], row["check"]) == ("ok", "pass"), row


def check_slow_link(hosts, program):
    """10 ms there, and 12.5 MB/s."""
    with tempfile.TemporaryDirectory() as folder:
        hosts.links(delay_s=0.01, bytes_per_s=12.5e6)
        rows = finished(hosts, folder, [1, 1], [program, *TINY, "--seq", "16", "--reps", "3"])
        assert_right(rows, 2)
        for row in rows:  # each collective sends at least once
            collectives = row["all_reduces"] + row["all_gathers"] + row["reduce_scatters"]
            assert row["latency_s"] > 0.01 * collectives, row
    with tempfile.TemporaryDirectory() as folder:
        rows = finished(hosts, folder, [1, 1], [program, "comm", "--op", "all-reduce", "--bytes", "4096,4000000",
                                                "--buffer", "user", "--backend", "hierarchical"])
        small, large = (row["latency_s"] for row in rows)
        assert small > 0.01 and large > 4e6 / 12.5e6, rows  # a rank sends as much as it has
    print(f"10 ms and 12.5 MB/s: right; an all-reduce of 4 KB takes {1e3 * small:.0f} ms, of 4 MB {large:.2f} s")


def check_lossy_link(hosts, program):
    hosts.links(delay_s=0.0005, loss=0.01)
    with tempfile.TemporaryDirectory() as folder:
        rows = finished(hosts, folder, [1, 1], [program, *TINY, "--seq", "16,64", "--reps", "5", "--timeout", "60"])
    assert_right(rows, 4)
    print("a packet in a hundred lost: right")


def ranks_in_a_row(hosts, launcher, program, folder, count):
    """A run's ranks, in the midst of its second length."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert launcher.poll() is None, launcher.communicate()[0]
        ranks = hosts.ranks(program)
        if len(ranks) == count and rows_in(folder, "now.jsonl"):
            return ranks
        time.sleep(0.1)
    raise AssertionError("no row within a minute")


def check_fault(hosts, program, slots, backend, name, fault, expected, options=()):
    """What the run says, once `fault` has met its ranks. Its first length, which is short, is a finished row. `expected`:
    exit codes, and what is said."""
    hosts.links()
    arguments = [program, *TINY, "--tp", "--seq", "16,64", "--max-time", "2", "--min-time", "2", "--backend", backend,
                 "--out", "now.jsonl", *options]
    case = f"{backend} over {len(slots)} hosts of {slots[0]}: {name}"
    with tempfile.TemporaryDirectory() as folder:
        launcher = hosts.start(folder, slots, arguments)
        ranks = ranks_in_a_row(hosts, launcher, program, folder, sum(slots))
        time.sleep(0.5)
        fault(ranks)
        begin = time.monotonic()
        while any(map(is_alive, ranks.values())) and time.monotonic() - begin < TIMEOUT_S + MARGIN_S:
            time.sleep(0.05)
        seconds = time.monotonic() - begin
        left = [rank for rank, process in ranks.items() if is_alive(process)]
        hosts.links()  # so that Open MPI's own processes learn of it too
        try:
            output = launcher.communicate(timeout=30)[0]
        except subprocess.TimeoutExpired:
            hosts.kill_all()
            output = "mpirun did not end by itself\n" + launcher.communicate()[0]
        rows = rows_in(folder, "now.jsonl")
    codes, words = expected
    assert not left, f"{case}: ranks {left} are left after {seconds:.1f} s\n{output}"
    assert launcher.returncode in codes, f"{case}: exit code {launcher.returncode}\n{output}"
    assert re.search(words, output), f"{case}: {output}"
    assert_right(rows, 1)
    print(f"{case}: every rank gone after {seconds:.1f} s")


def check_cut_for_a_while(hosts, program):
    hosts.links()
    arguments = [program, *TINY, "--tp", "--seq", "16,64", "--max-time", "3", "--min-time", "3", "--out", "now.jsonl"]
    with tempfile.TemporaryDirectory() as folder:
        launcher = hosts.start(folder, [1, 1], arguments)
        ranks_in_a_row(hosts, launcher, program, folder, 2)
        time.sleep(0.5)
        hosts.links(cut=[1])
        time.sleep(TIMEOUT_S / 3)
        hosts.links()
        output = launcher.communicate(timeout=60)[0]
        assert launcher.returncode == 0, output
        assert_right(rows_in(folder, "now.jsonl"), 2)
    print(f"a link cut for {TIMEOUT_S / 3:.0f} s: the run goes on, right")


def send(signal_number, rank):
    return lambda ranks: os.kill(ranks[rank], signal_number)


def check_two_hosts(program):
    with Hosts(2) as hosts:
        check_slow_link(hosts, program)
        check_lossy_link(hosts, program)
        check_cut_for_a_while(hosts, program)
        second = hosts.names[1]
        for slots, backend in (([1, 1], "mpi"), ([2, 2], "hierarchical")):
            last = sum(slots) - 1
            out_of_reach = {5}, rf"error: timed out: .*rank {last} on {second} \(pid \d+\) did not answer"
            killed = set(range(1, 256)), "signal 9"
            check_fault(hosts, program, slots, backend, "the last rank stopped", send(signal.SIGSTOP, last), out_of_reach)
            check_fault(hosts, program, slots, backend, "the last rank killed", send(signal.SIGKILL, last), killed)
            check_fault(hosts, program, slots, backend, "the link cut", lambda _: hosts.links(cut=[1]), out_of_reach)


def check_three_hosts(program):
    with Hosts(3) as hosts:
        hosts.links(delay_s=0.001)
        with tempfile.TemporaryDirectory() as folder:
            rows = finished(hosts, folder, [1, 1, 1], [program, *TINY, *STEPS, "--seq", "16", "--reps", "3"])
        assert_right(rows, 2)
        third = hosts.names[2]
        check_fault(hosts, program, [1, 1, 1], "mpi", "one link cut", lambda _: hosts.links(cut=[2]),
                    ({5}, rf"error: timed out: .*rank 2 on {third} \(pid \d+\) did not answer"), STEPS)
    print("three hosts: right")


def main():
    program = os.path.abspath(sys.argv[1])
    try:
        check_two_hosts(program)
        check_three_hosts(program)
    except Unavailable as why:
        print(f"skipped: no network namespaces here: {why}")
        return SKIPPED
    return 0


sys.exit(main())
