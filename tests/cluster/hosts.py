"""Hosts with a network between them, as network namespaces of this machine: nothing outside them is talked to.

The network is a process that hands packets on from host to host, late, one after the other, or not at all. (The kernel's
own netem is not in every kernel.) It needs root, `ip`, `unshare` and /dev/net/tun.
"""

import ctypes
import fcntl
import heapq
import json
import os
import pathlib
import random
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scripts"))
from running import environment  # noqa: E402

SKIPPED = 77
NETWORK = "10.213.77"  # inside the namespaces alone
DEVICE = "cable"
TUN_SET_INTERFACE = 0x400454CA
TUN_OF_PACKETS = 0x0001 | 0x1000  # IFF_TUN, IFF_NO_PI: whole IP packets and nothing before them
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
QUEUE_S = 0.25  # what a link holds; more is dropped, as a switch does
PERFECT = {"delay_s": 0.0, "bytes_per_s": 0.0, "loss": 0.0, "cut": []}


class Unavailable(Exception):
    """What this machine lacks."""


def run(command, folder=None):
    """Exit code, and what it prints."""
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def ip(*arguments):
    code, output = run(["ip", *arguments])
    if code != 0:
        raise Unavailable(f"ip {' '.join(arguments)}: {output.strip()}")


def tun_in(namespace):
    """A device of that network namespace, whose packets are read and written here."""
    with open(f"/run/netns/{namespace}", "rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUN_SET_INTERFACE, struct.pack("16sH22x", DEVICE.encode(), TUN_OF_PACKETS))
    return tun


class Relay:
    """The process of the network: a line of JSON on stdin sets what its links are like. Every host has one link."""

    def __init__(self, hosts):
        self.tuns = [tun_in(host) for host in hosts]
        self.free_at = [0.0] * len(hosts)
        self.links = dict(PERFECT)
        self.under_way = []  # (when, number, host, packet)
        self.sent = 0
        self.chance = random.Random(1)

    def take(self, source, packet, now):
        """A packet that a host sends."""
        target = packet[19] - 1 if packet[:1] == b"\x45" and len(packet) >= 20 else -1  # the last byte of an IPv4 address
        if not 0 <= target < len(self.tuns) or {source, target} & set(self.links["cut"]):
            return
        if self.chance.random() < self.links["loss"]:
            return
        start = max(now, self.free_at[target])
        if start > now + QUEUE_S:
            return
        rate = self.links["bytes_per_s"]
        self.free_at[target] = start + (len(packet) / rate if rate else 0)
        self.sent += 1
        heapq.heappush(self.under_way, (self.free_at[target] + self.links["delay_s"], self.sent, target, packet))

    def deliver(self, now):
        while self.under_way and self.under_way[0][0] <= now:
            _, _, target, packet = heapq.heappop(self.under_way)
            if target not in self.links["cut"]:
                try:
                    os.write(self.tuns[target], packet)
                except OSError:
                    pass  # a device that is full, or not up yet, drops it

    def serve(self):
        print("ready", flush=True)
        while True:
            patience_s = max(0.0, self.under_way[0][0] - time.monotonic()) if self.under_way else None
            readable, _, _ = select.select([sys.stdin, *self.tuns], [], [], patience_s)
            for tun in readable:
                if tun is sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self.links = json.loads(line)
                    print("set", flush=True)
                    continue
                try:
                    for _ in range(64):
                        self.take(self.tuns.index(tun), os.read(tun, 65536), time.monotonic())
                except BlockingIOError:
                    pass
            self.deliver(time.monotonic())


class Hosts:
    """Some hosts for as long as the object is entered. Throws Unavailable where they can not be made."""

    def __init__(self, count):
        self.names = [f"tpsp-{letter}-{os.getpid()}" for letter in "abcdefgh"[:count]]
        self.relay = None

    def __enter__(self):
        missing = [name for name in ("ip", "unshare", "mpirun") if not shutil.which(name)]
        if os.geteuid() != 0 or missing or not os.path.exists("/dev/net/tun"):
            raise Unavailable(f"network namespaces need root, /dev/net/tun, and {', '.join(missing) or 'nothing else'}")
        try:
            self.join()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def join(self):
        for name in self.names:
            ip("netns", "add", name)
        self.relay = subprocess.Popen([sys.executable, __file__, *self.names], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.relay.stdout.readline() != "ready\n":
            raise Unavailable(f"a TUN device: {self.relay.stderr.read().strip().splitlines()[-1:]}")
        for number, name in enumerate(self.names, 1):
            ip("-n", name, "address", "add", f"{NETWORK}.{number}/24", "dev", DEVICE)
            ip("-n", name, "link", "set", DEVICE, "mtu", "9000")  # fewer packets for Python to move
            for device in ("lo", DEVICE):
                ip("-n", name, "link", "set", device, "up")
            code, output = run(self.on(name, "hostname"))
            if code != 0 or output.strip() != name:
                raise Unavailable(f"a host name of its own: {output.strip()}")

    def __exit__(self, kind, value, trace):
        self.kill_all()
        if self.relay is not None:
            self.relay.stdin.close()
            try:
                self.relay.wait(10)
            except subprocess.TimeoutExpired:
                self.relay.kill()
        for name in self.names:
            run(["ip", "netns", "delete", name])

    def links(self, **properties):
        """Of every host's link: `delay_s` (one way), `bytes_per_s` (0: no limit), `loss` (a share), `cut` (hosts)."""
        self.relay.stdin.write(json.dumps(PERFECT | properties) + "\n")
        self.relay.stdin.flush()
        assert self.relay.stdout.readline() == "set\n"

    @staticmethod
    def on(host, command):
        return ["ip", "netns", "exec", host, "unshare", "--uts", "sh", "-c", f"hostname {host} && {command}"]

    def mpirun(self, folder, slots, arguments, *launcher_options):
        """The command that starts ranks from the first host. `slots`: ranks of each host."""
        # What Open MPI calls in the place of ssh: HOST COMMAND...
        agent = pathlib.Path(folder) / "agent"
        command = " ".join(self.on("$host", "$*")[:-1])
        agent.write_text(f'#!/bin/sh\nhost=$1\nshift\nexec {command} "hostname $host && $*"\n')
        agent.chmod(0o755)
        where = ",".join(f"{name}:{ranks}" for name, ranks in zip(self.names, slots))
        device = ["--mca", "oob_tcp_if_include", DEVICE, "--mca", "btl_tcp_if_include", DEVICE]
        mpirun = ["mpirun", "--mca", "plm_rsh_agent", str(agent), *device, "--bind-to", "none", *launcher_options, "-H",
                  where]
        return self.on(self.names[0], shlex.join([*mpirun, *arguments]))

    def start(self, folder, slots, arguments):
        return subprocess.Popen(self.mpirun(folder, slots, arguments), cwd=folder, env=environment(),
                                start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def processes(self, host):
        """All of its processes."""
        code, output = run(["ip", "netns", "pids", host])
        return [int(number) for number in output.split()] if code == 0 else []

    def ranks(self, program):
        """The processes that run `program`, by rank."""
        found = {}
        for name in self.names:
            for process in self.processes(name):
                folder = pathlib.Path(f"/proc/{process}")
                try:
                    if os.readlink(folder / "exe") != os.path.realpath(program):
                        continue
                    for entry in (folder / "environ").read_bytes().split(b"\0"):
                        if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
                            found[int(entry.partition(b"=")[2])] = process
                except OSError:
                    continue
        return found

    def kill_all(self):
        """Whatever a run has left, launcher and all; says what it was."""
        left = []
        for name in self.names:
            for process in self.processes(name):
                try:
                    left.append(os.readlink(f"/proc/{process}/exe"))
                    os.kill(process, signal.SIGKILL)
                except OSError:
                    continue
        return left


if __name__ == "__main__":
    Relay(sys.argv[1:]).serve()
