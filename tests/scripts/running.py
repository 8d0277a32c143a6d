"""Runs of several ranks, to be disturbed."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time


def environment():
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("TPSP_", "OMPI_", "PMIX_"))}
    return keep | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "TPSP_DEVICE": "cpu",
                   "TPSP_THREADS": "1", "TPSP_PEAKS": "off", "TPSP_GEMM": "plain"}  # measured in MPI's barriers


def start(program, folder, *launcher_options, arguments, ranks=2):
    command = ["mpirun", "-n", str(ranks), "--oversubscribe", *launcher_options, program, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment(), start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rank_of(process):
    found = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", (process / "environ").read_bytes())
    return int(found[1]) if found else None


def children(launcher):
    """The launcher's processes by rank."""
    ranks = {}
    for entry in pathlib.Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            rank = rank_of(entry) if parent == launcher.pid else None
        except (OSError, IndexError):
            continue
        if rank is not None:
            ranks[rank] = int(entry.name)
    return ranks


def measuring_ranks(launcher, folder):
    """Its two ranks of the backend shm, once the memory that they share is there and the forwards have begun."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert launcher.poll() is None, launcher.communicate()[0]
        ranks = children(launcher)
        maps = pathlib.Path(f"/proc/{ranks[0]}/maps").read_text() if 0 in ranks else ""
        if len(ranks) == 2 and "/osc_sm." in maps and (folder / "tpsp-results.jsonl").exists():
            time.sleep(1)
            return ranks, pathlib.Path(f"/proc/{ranks[0]}/maps").read_text()
        time.sleep(0.05)
    raise AssertionError("no run with shared memory within a minute")


def job_of(maps):
    """The number in the names of the job's files. Its window has lost its name already, so that none can be left."""
    windows = set(re.findall(r"(/\S*/osc_sm\.\S+)( \(deleted\))?$", maps, re.MULTILINE))
    assert windows and all(deleted for _, deleted in windows), f"a window with a name would be left: {windows}"
    return re.search(r"\.([0-9a-f]+)\.\d+\.\d+$", next(iter(windows))[0])[1]


def left_by(job):
    return [path.name for path in pathlib.Path("/dev/shm").iterdir() if f".{job}." in path.name]


def end(launcher, patience_s):
    """Its output; None where it does not come to an end by itself."""
    try:
        return launcher.communicate(timeout=patience_s)[0]
    except subprocess.TimeoutExpired:
        for process in children(launcher).values():
            os.kill(process, signal.SIGKILL)
        launcher.terminate()
        launcher.communicate()
        return None


def session_members(session):
    """Its processes, without zombies."""
    members = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            members.append(int(entry.name))
    return members


def is_alive(process):
    """Whether it is there and no zombie, which a parent may leave for a while."""
    try:
        return (pathlib.Path(f"/proc/{process}") / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def all_gone(processes):
    """Whether they are, two seconds from now."""
    deadline = time.monotonic() + 2
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_alive, processes))


def rows_in(folder, name="tpsp-results.jsonl"):
    """The rows that are written to the file, by default the program's own, so far."""
    path = pathlib.Path(folder) / name
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def left_in_shm():
    """What MPI and others have in /dev/shm."""
    return {path.name for path in pathlib.Path("/dev/shm").iterdir()}
