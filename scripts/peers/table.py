#!/usr/bin/env python3
"""What scripts/peers.sh measured, as tables: tpsp-bench's forwards, collectives or training steps against PyTorch's.

    python scripts/peers/table.py FOLDER

reads FOLDER/round-N-PROGRAM.csv, prints the tables, and writes them to FOLDER/peers.md. A time is the median over the
rounds. A ratio is taken round by round, since what disturbs a machine lasts longer than one program: its median stands
before the smallest and the largest. DTensor's time of a round is the better one of its two: as it comes, and with a
malloc that keeps freed memory. Exits with 4 where a result was wrong, with 2 where there is nothing to read.
"""
import csv
import re
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import results_file  # noqa: E402  (from the folder above)

PEER = "DTensor"  # the better one of its two in a round, which ratios are taken to
PEERS = {"dtensor": "DTensor as is", "dtensor-kept": "DTensor kept", "linear": "F.linear"}
BACKENDS = ("shm", "mpi", "gloo")
OURS = "tpsp-bench"  # of training steps
PLANS = ("tp", "tp+sp")
FRACTIONS = ("gemm_fraction", "limit_fraction")
NOTHING = "-"


def fail(message, code=2):
    print(f"table.py: error: {message}", file=sys.stderr)
    sys.exit(code)


class Rounds(dict):
    """{key: {round: number}}"""

    def add(self, key, number, value):
        self.setdefault(key, {})[number] = float(value)

    def median(self, key):
        return statistics.median(self[key].values()) if key in self else None

    def ratio(self, key, base):
        """(median, least, most) of the rounds that have both; None where there are none."""
        ours, theirs = self.get(key, {}), self.get(base, {})
        ratios = [ours[number] / theirs[number] for number in sorted(ours.keys() & theirs.keys())]
        return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


class Results:
    def __init__(self):
        self.forwards = Rounds()     # (dtype, seq, plan, program): seconds
        self.fractions = Rounds()    # (column, dtype, seq, plan, program): of 1
        self.collectives = Rounds()  # (dtype, collective, bytes, buffer, backend): seconds
        self.steps = Rounds()        # (dtype, seq, recompute, plan, program): seconds of a training step
        self.saved = Rounds()        # the same: bytes saved for the backward
        self.step_limits = Rounds()  # the same: of 1
        self.wrong = []              # sentences
        self.rounds = set()
        self.cases = set()           # "llama-7b, layers 2, batch 2, 2 ranks"

    def read(self, path):
        number = int(re.fullmatch(r"round-(\d+)-.*", path.stem)[1])
        self.rounds.add(number)
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for line, row in enumerate(rows, 2):
            try:
                self.take(row, number, path.name)
            except (KeyError, TypeError, ValueError) as error:
                fail(f"{path}:{line}: no row of results ({error!r}); was the run ended?")

    def take(self, row, number, name):
        if "peer" in row:
            self.take_peer(row, number, name)
            return
        try:
            results_file.require_schema(name, int(row["schema"]), "measure again with scripts/peers.sh")
        except results_file.BadFile as error:
            fail(error)
        row = results_file.today(row)
        if row.get("collective"):
            key = row["dtype"], row["collective"], int(row["message_bytes"]), row["buffer"], row["backend"]
            self.collectives.add(key, number, row["latency_s"])
            if int(row["wrong"] or 0):
                self.wrong.append(f"{name}: {row['backend']} {row['collective']} of {row['message_bytes']} bytes: "
                                  f"{row['wrong']} wrong values")
        else:
            self.take_forward(row, number, name)

    def take_peer(self, row, number, name):
        program = PEERS[re.fullmatch(r"round-\d+-(.*?)(-none|-block)?-[a-z0-9]+\.csv", name)[1]]
        if "step_s" in row:
            case = row["dtype"], int(row["seq"]), row["recompute"], row["plan"]
            self.take_time_of_peer(self.steps, case, program, number, row["step_s"])
            self.saved.add((*case, PEER), number, row["saved_bytes"])
        else:
            case = row["dtype"], int(row["seq"]), row["plan"]
            self.take_time_of_peer(self.forwards, case, program, number, row["median_s"])

    def take_time_of_peer(self, times, case, program, number, seconds):
        times.add((*case, program), number, seconds)
        if program == PEERS["linear"]:
            return
        best = times.get((*case, PEER), {}).get(number, float("inf"))
        times.add((*case, PEER), number, min(best, float(seconds)))

    def take_forward(self, row, number, name):
        if row["status"] != "ok" or row["check"] == "fail":
            self.wrong.append(f"{name}: {row['backend']} {row['plan']} at seq {row['seq']}: {row['status']}, check "
                              f"{row['check']}")
            return
        if row.get("model"):
            self.cases.add(f"{row['model']}, layers {row['layers']}, batch {row['batch']}, {row['world']} ranks")
        if row.get("workload") == "train":
            self.take_step(row, number)
            return
        key = row["dtype"], int(row["seq"]), row["plan"], row["backend"]
        self.forwards.add(key, number, row["latency_s"])
        for column in FRACTIONS:
            if row.get(column):
                self.fractions.add((column, *key), number, row[column])

    def take_step(self, row, number):
        key = row["dtype"], int(row["seq"]), row["recompute"], row["plan"], OURS
        self.steps.add(key, number, row["latency_s"])
        self.saved.add(key, number, row["saved_bytes"])
        if row.get("limit_fraction"):
            self.step_limits.add(key, number, row["limit_fraction"])


def seconds_text(seconds):
    if seconds is None:
        return NOTHING
    unit, scale = ("s", 1) if seconds >= 1 else ("ms", 1e3)
    return f"{seconds * scale:#.4g} {unit}"


def megabytes_text(count):
    return NOTHING if count is None else f"{count / 1e6:#.4g} MB"


def ratio_text(ratio, digits):
    """The median over the rounds and, of several, their spread. A gather that moves nothing has no ratio worth digits."""
    if ratio is None:
        return NOTHING
    if ratio[0] >= 1000:
        return "over 1000"
    text = "{:.{d}f} ({:.{d}f}..{:.{d}f})".format(*ratio, d=digits)
    return text if ratio[1] != ratio[2] else f"{ratio[0]:.{digits}f}"


def fractions_text(results, column, case, program):
    values = [results.fractions.median((column, *case, plan, program)) for plan in PLANS]
    return NOTHING if values == [None] * 2 else "/".join("-" if v is None else f"{v:.2f}" for v in values)


def fp32_first(case):
    return case[0] != "fp32", *case


def forward_lines(results):
    """The header and a line for each dtype, length and program."""
    header = ["dtype", "seq", "program", "tp", "to DTensor", "tp+sp", "to DTensor"]
    columns = [column for column in FRACTIONS if any(key[0] == column for key in results.fractions)]
    lines = [header + [column.removesuffix("_fraction") for column in columns]]
    found = {key[3] for key in results.forwards} - {PEER}
    programs = others((*PEERS.values(), *BACKENDS), found)
    for case in sorted({key[:2] for key in results.forwards}, key=fp32_first):
        for program in programs:
            keys = [(*case, plan, program) for plan in PLANS]
            if not any(key in results.forwards for key in keys):
                continue
            line = [case[0], str(case[1]), program]
            for plan, key in zip(PLANS, keys):
                base = *case, plan, PEER
                ratio = results.forwards.ratio(key, base)
                line += [seconds_text(results.forwards.median(key)), ratio_text(ratio, 3)]
            lines.append(line + [fractions_text(results, column, case, program) for column in columns])
    return lines


def others(known, found):
    """The known names that were found, then the rest."""
    return [name for name in known if name in found] + sorted(found - set(known))


def collective_lines(results):
    """The header and a line for each collective, size and buffer."""
    backends = others(BACKENDS, {key[4] for key in results.collectives})
    first, rest = backends[0], backends[1:]
    several = len({key[0] for key in results.collectives}) > 1
    lines = [["collective", *(["dtype"] if several else []), "bytes", "buffer", *backends,
              *(f"{backend}/{first}" for backend in rest)]]
    order = ("all-reduce", "reduce-scatter", "all-gather")
    names = others(order, {key[1] for key in results.collectives})
    for case in sorted({key[:4] for key in results.collectives}, key=lambda case: (names.index(case[1]), *case)):
        dtype, collective, size, buffer = case
        times = [seconds_text(results.collectives.median((*case, backend))) for backend in backends]
        ratios = [ratio_text(results.collectives.ratio((*case, backend), (*case, first)), 2) for backend in rest]
        lines.append([collective, *([dtype] if several else []), str(size), buffer, *times, *ratios])
    return lines


def step_cases(results, dtype):
    """(seq, recompute) of each training step."""
    return sorted({key[1:3] for key in results.steps if key[0] == dtype}, key=lambda case: (case[1] != "none", *case))


def step_lines(results, dtype):
    """The header and a line for each length and plan: both programs' time, and what they save."""
    lines = [["plan", "seq", "recompute", PEER, OURS, f"to {PEER}", f"{PEER} saves", f"{OURS} saves", "of it", "limit"]]
    for case in step_cases(results, dtype):
        for plan in others(PLANS, {key[3] for key in results.steps if key[:3] == (dtype, *case)}):
            theirs, ours = ((dtype, *case, plan, program) for program in (PEER, OURS))
            limit = results.step_limits.median(ours)
            times = [seconds_text(results.steps.median(key)) for key in (theirs, ours)]
            saved = [megabytes_text(results.saved.median(key)) for key in (theirs, ours)]
            lines.append([plan, str(case[0]), case[1], *times, ratio_text(results.steps.ratio(ours, theirs), 3), *saved,
                          ratio_text(results.saved.ratio(ours, theirs), 2),
                          NOTHING if limit is None else f"{limit:.2f}"])
    return lines


def plan_lines(results, dtype):
    """The header and a line for each length: what TP+SP takes of TP's time and memory in both programs."""
    lines = [["seq", "recompute", *(f"{program}'s {what}" for what in ("time", "saved") for program in (PEER, OURS))]]
    for case in step_cases(results, dtype):
        pairs = [[(dtype, *case, plan, program) for plan in reversed(PLANS)] for program in (PEER, OURS)]
        lines.append([str(case[0]), case[1], *(ratio_text(results.steps.ratio(*pair), 3) for pair in pairs),
                      *(ratio_text(results.saved.ratio(*pair), 2) for pair in pairs)])
    return lines


def plain(lines):
    """Columns as wide as they need to be; words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    left = [column[1][:1].isalpha() for column in zip(*lines)]
    return [" ".join(cell.ljust(width) if words else cell.rjust(width)
                     for cell, width, words in zip(line, widths, left)).rstrip() for line in lines]


def markdown(lines):
    rule = ["---" if column[1][:1].isalpha() else "--:" for column in zip(*lines)]
    return ["| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:])]


def parts(results):
    """(title, lines) of what was measured."""
    rounds = f"{len(results.rounds)} round" + ("s" if len(results.rounds) != 1 else "")
    of = f" of {'; '.join(sorted(results.cases))}" if results.cases else ""
    for dtype, in sorted({key[:1] for key in results.steps}, key=fp32_first):
        title = f"A training step{of}, {dtype}: PyTorch's and tpsp-bench's (medians of {rounds}; least..most)"
        yield title, step_lines(results, dtype)
        yield f"TP+SP over TP, {dtype} (medians of {rounds}; least..most)", plan_lines(results, dtype)
    if results.forwards:
        title = f"A forward{of}: PyTorch's, and tpsp-bench's by backend (medians of {rounds}; least..most)"
        yield title, forward_lines(results)
    if results.collectives:
        yield f"A collective: tpsp-bench by backend (medians of {rounds}; least..most)", collective_lines(results)


def main():
    if len(sys.argv) != 2:
        fail("usage: table.py FOLDER")
    folder = Path(sys.argv[1])
    results = Results()
    for path in sorted(folder.glob("round-*-*.csv")):
        results.read(path)
    if not (results.forwards or results.collectives or results.steps):
        fail(f"{folder}: no results; scripts/peers.sh writes them")
    page = ["# Peers", ""]
    for title, lines in parts(results):
        print("\n".join((title, *plain(lines), "")))
        page += [title, "", *markdown(lines), ""]
    for sentence in results.wrong:
        print(f"wrong: {sentence}")
        page.append(f"Wrong: {sentence}")
    try:
        (folder / "peers.md").write_text("\n".join(page).rstrip() + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}", 6)
    sys.exit(4 if results.wrong else 0)


if __name__ == "__main__":
    main()
