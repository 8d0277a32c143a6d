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
import shlex
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
HOSTS = [f"tpsp-a-{os.getpid()}", f"tpsp-b-{os.getpid()}"]
NETWORK = "10.213.77"  # inside the namespaces alone
PLANS = "tp,tp+sp,tp-attention-sp-ffn,tp-sharded-logits,ffn-only,attention-only"
FORWARDS = ["--model", "llama-tiny", "--plan", PLANS, "--seq", "22", "--batch", "1", "--reps", "2", "--warmup", "1",
            "--bind", "off"]
COLLECTIVES = ["comm", "--bytes", "4096,1000012", "--reps", "3"]


def environment():
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("TPSP_", "OMPI_", "PMIX_"))}
    return keep | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "TPSP_DEVICE": "cpu",
                   "TPSP_THREADS": "1"}


def run(command, folder=None):
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def ip(*arguments):
    code, output = run(["ip", *arguments])
    if code != 0:
        raise OSError(f"ip {' '.join(arguments)}: {output.strip()}")


def on(host, command):
    return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", f"hostname {host} && {command}"]


def join_hosts():
    """Two namespaces with a cable between them."""
    for host in HOSTS:
        ip("netns", "add", host)
    ip("link", "add", "cable", "netns", HOSTS[0], "type", "veth", "peer", "name", "cable", "netns", HOSTS[1])
    for number, host in enumerate(HOSTS, 1):
        ip("-n", host, "address", "add", f"{NETWORK}.{number}/24", "dev", "cable")
        for device in ("lo", "cable"):
            ip("-n", host, "link", "set", device, "up")
        code, output = run(on(host, "hostname"))
        if code != 0 or output.strip() != host:
            raise OSError(f"a host name of its own: {output.strip()}")


def remove_hosts():
    for host in HOSTS:
        run(["ip", "netns", "delete", host])


def write_agent(folder):
    """What Open MPI calls in the place of ssh: HOST COMMAND..."""
    agent = folder / "agent"
    command = " ".join(on("$host", "$*")[:-1])
    agent.write_text(f'#!/bin/sh\nhost=$1\nshift\nexec {command} "hostname $host && $*"\n')
    agent.chmod(0o755)
    return agent


def over_hosts(slots, arguments, folder):
    """`slots`: HOST:RANKS, with a comma between."""
    device = ["--mca", "oob_tcp_if_include", "cable", "--mca", "btl_tcp_if_include", "cable"]
    mpirun = ["mpirun", "--mca", "plm_rsh_agent", str(write_agent(folder)), *device, "--bind-to", "none", "-H", slots]
    return run(on(HOSTS[0], shlex.join([*mpirun, *arguments])), folder)


def rows_of(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def require_right(rows, number):
    assert len(rows) == number, f"{len(rows)} rows instead of {number}"
    for row in rows:
        assert row["status"] == "ok" and row["check"] == "pass", row


def check_forwards(program, ranks_a_host, dtype):
    ranks = 2 * ranks_a_host
    arguments = [program, *FORWARDS, "--dtype", dtype]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        slots = ",".join(f"{host}:{ranks_a_host}" for host in HOSTS)
        code, output = over_hosts(slots, [*arguments, "--out", "hosts.csv"], folder)
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


def check_collectives(program, odd_sizes, ranks_a_host):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        slots = ",".join(f"{host}:{ranks_a_host}" for host in HOSTS)
        code, output = over_hosts(slots, [odd_sizes], folder)
        assert code == 0 and "all right" in output, output
        code, output = over_hosts(slots, [program, *COLLECTIVES, "--backend", "hierarchical,mpi", "--dtype", "fp32,bf16",
                                          "--out", "comm.csv"], folder)
        assert code == 0, output
        rows = rows_of(folder, "comm.csv")
    assert {row["backend"] for row in rows} == {"hierarchical", "mpi"}, rows
    assert all(row["wrong"] == "0" for row in rows), rows
    return len(rows)


def check_uneven_hosts(program):
    """Two ranks and one: refused on both hosts, so that auto falls back on mpi on all ranks."""
    slots = f"{HOSTS[0]}:2,{HOSTS[1]}:1"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        code, output = over_hosts(slots, [program, *COLLECTIVES, "--backend", "hierarchical"], folder)
        assert code != 0 and "equally many ranks on every host" in output, output
        code, output = over_hosts(slots, [program, *COLLECTIVES, "--backend", "auto", "--out", "comm.csv"], folder)
        assert code == 0, output
        assert {row["backend"] for row in rows_of(folder, "comm.csv")} == {"mpi"}, output


def check_one_host(program):
    with tempfile.TemporaryDirectory() as name:
        code, output = run(["mpirun", "-n", "2", "--oversubscribe", program, *COLLECTIVES, "--backend", "hierarchical"],
                           name)
    assert code != 0 and "all ranks are on this one" in output, output


def check_all(program, odd_sizes):
    for ranks_a_host in (1, 2):
        rows = check_collectives(program, odd_sizes, ranks_a_host)
        for dtype in ("fp32", "bf16"):
            check_forwards(program, ranks_a_host, dtype)
        print(f"two hosts with {ranks_a_host} each: {rows} rows of collectives, all plans right")
    check_uneven_hosts(program)
    check_one_host(program)


def main():
    program, odd_sizes = map(os.path.abspath, sys.argv[1:3])
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        print("skipped: network namespaces need root, ip and unshare")
        return SKIPPED
    try:
        try:
            join_hosts()
        except OSError as error:
            print(f"skipped: no network namespaces here: {error}")
            return SKIPPED
        check_all(program, odd_sizes)
    finally:
        remove_hosts()
    return 0


sys.exit(main())
