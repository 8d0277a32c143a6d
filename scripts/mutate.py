#!/usr/bin/env python3
"""Writes the mutants of tests/mutation/mutants.txt into a copy of the sources, and tries them.

    mutate.py check               whether each original still stands once in its file
    mutate.py write TREE          copies the repository's files to TREE, with all mutants in them
    mutate.py try PROGRAM RESULT  runs PROGRAM (run_mutant, built from that copy) for each mutant, two at a time; writes
                                  a tab-separated line for each to RESULT; ends with 1 where one survived

A mutant survives where it changes a logit, or a step's loss, gradients or weights, on some rank and the check of the
numbers passes all the same.
"""

import re
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LIST = "tests/mutation/mutants.txt"
HEADER = "tests/mutation/mutant.h"
SECONDS_A_CASE = 20  # one that waits for ever has no result, and so no row
MOST_DEATHS = 5  # of a mutant's processes; the cases after that are not tried
WORST_FIRST = ("survived", "caught", "refused", "died", "unchanged")


@dataclass
class Place:
    file: str
    line: int  # of the list
    context: str  # what stands in the file once
    original: str  # the part of it that is replaced
    mutants: list[str]
    may_pass: list[bool]  # of each mutant: it computes the same in some cases, but for the order of sums


def read_list(text: str) -> list[Place]:
    places, file, context, mutants, may_pass = [], "", [], [], []

    def finish(line):
        if not context:
            return
        text = "\n".join(context)
        marked = re.search(r"\[\[(.*)\]\]", text, re.DOTALL)
        original = marked.group(1) if marked else text
        plain = text.replace("[[", "").replace("]]", "")
        if not mutants:
            sys.exit(f"{LIST}:{line}: {original!r} has no mutant")
        places.append(Place(file, line, plain, original, list(mutants), list(may_pass)))
        for items in (context, mutants, may_pass):
            items.clear()

    for number, line in enumerate(text.splitlines(), 1):
        mark, rest = line[:1], line[2:]
        if mark in ("+", "~"):
            mutants.append(rest)
            may_pass.append(mark == "~")
            continue
        if mutants:
            finish(number)
        if mark == "@":
            file = rest
        elif mark == "-":
            context.append(rest)
        elif mark not in ("", "#"):
            sys.exit(f"{LIST}:{number}: a line begins with @, -, + or ~")
    finish(number)
    return places


def pattern_of(text: str) -> str:
    return r"\s+".join(re.escape(word) for word in text.split())


def span_of(place: Place, source: str) -> tuple[int, int]:
    """Where the original stands in the file, which must be one place."""
    found = list(re.finditer(pattern_of(place.context), source))
    if len(found) != 1:
        sys.exit(f"{LIST}:{place.line}: {place.context!r} stands {len(found)} times in {place.file}, not once")
    inner = list(re.finditer(pattern_of(place.original), found[0].group()))
    if place.original == place.context:
        return found[0].span()
    if len(inner) != 1:
        sys.exit(f"{LIST}:{place.line}: {place.original!r} stands {len(inner)} times in its context, not once")
    return found[0].start() + inner[0].start(), found[0].start() + inner[0].end()


def schema_of(original: str, mutants: list[str], first: int) -> str:
    """All mutants of a place and the original, chosen at run time."""
    is_statement = original.rstrip().endswith(";")
    text = original if not is_statement else f"{{ {original} }}"
    for number, mutant in reversed(list(enumerate(mutants, first))):
        if is_statement:
            text = f"if (::tpsp::mutant({number})) {{ {mutant} }} else {text}"
        else:
            text = f"(::tpsp::mutant({number}) ? ({mutant}) : ({text}))"
    return text


def mutated_files() -> dict[str, str]:
    """The files that have mutants, by name, with all of theirs in them."""
    edits, number = {}, 1
    for place in read_list(Path(LIST).read_text()):
        begin, end = span_of(place, Path(place.file).read_text())
        edits.setdefault(place.file, []).append((begin, end, place, number))
        number += len(place.mutants)
    print(f"{number - 1} mutants in {len(edits)} files")
    return {file: mutated(Path(file).read_text(), changes) for file, changes in edits.items()}


def mutated(source: str, changes: list) -> str:
    changes.sort(key=lambda change: change[0])
    for (_, end, place, _), (begin, _, other, _) in zip(changes, changes[1:]):
        if begin < end:
            sys.exit(f"{LIST}:{other.line}: overlaps with line {place.line}")
    for begin, end, place, first in reversed(changes):
        source = source[:begin] + schema_of(source[begin:end], place.mutants, first) + source[end:]
    return f'#include "{Path(HEADER).resolve()}"\n{source}'


def write(tree: Path) -> None:
    """Leaves files that are as they should be alone, so that they are not built again."""
    files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True,
                           capture_output=True, text=True).stdout.split("\0")
    changed = mutated_files()
    wanted = [file for file in files if Path(file).is_file()]
    for stale in {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()} - set(wanted):
        if not stale.startswith(".venv/"):
            (tree / stale).unlink()
    for file in wanted:
        content = changed[file].encode() if file in changed else Path(file).read_bytes()
        target = tree / file
        if target.exists() and target.read_bytes() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def titles_of_mutants() -> list[tuple[str, bool]]:
    result = []
    for place in read_list(Path(LIST).read_text()):
        for mutant, passes in zip(place.mutants, place.may_pass):
            original = " ".join(place.original.split())
            result.append((f"{place.file}: {original}  ->  {mutant.strip() or '(left out)'}", passes))
    return result


@dataclass
class Outcome:
    """What became of a mutant: how many cases had which verdict, and what it is called for."""

    cases: Counter
    smallest: float = float("inf")  # error that was caught, over the bound
    survivor: str = ""

    def verdict(self, may_pass=False) -> str:
        if may_pass and self.cases["survived"]:
            return "same sums"
        return next(word for word in WORST_FIRST if self.cases[word])


def note(outcome: Outcome, line: str) -> None:
    _, verdict, error, case = line.rstrip("\n").split("\t")
    outcome.cases[verdict] += 1
    if verdict == "caught":
        outcome.smallest = min(outcome.smallest, float(error))
    if verdict == "survived":
        outcome.survivor = f"{case}, {error} of the bound"


def run_mutant(program: str, number: int) -> Outcome:
    """One process for all cases; after a case that crashes or waits for ever, the next process goes on with the next."""
    outcome, case, deaths = Outcome(Counter()), 0, 0
    while deaths < MOST_DEATHS:
        process = subprocess.Popen([program, str(number), str(case)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   text=True)
        while True:
            timer = threading.Timer(SECONDS_A_CASE, process.kill)
            timer.start()
            line = process.stdout.readline()
            timer.cancel()
            if not line:
                break
            note(outcome, line)
            case += 1
        if process.wait() == 0:
            return outcome
        outcome.cases["died"] += 1
        case, deaths = case + 1, deaths + 1
    return outcome


def try_all(program: str, result: Path) -> int:
    if (unmutated := run_mutant(program, 0)).verdict() != "unchanged":
        sys.exit(f"{program}: without a mutant, cases are {dict(unmutated.cases)}; build it again")
    titles = titles_of_mutants()
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda number: run_mutant(program, number), range(1, len(titles) + 1)))
    verdicts = [outcome.verdict(may_pass) for outcome, (_, may_pass) in zip(outcomes, titles)]
    with result.open("w") as file:
        print("mutant\tverdict\t" + "\t".join(WORST_FIRST) + "\tsmallest error caught, over the bound\tsurvivor\tchange",
              file=file)
        for number, (outcome, verdict, (title, _)) in enumerate(zip(outcomes, verdicts, titles), 1):
            counts = (outcome.cases[word] for word in WORST_FIRST)
            print(number, verdict, *counts, f"{outcome.smallest:.3g}", outcome.survivor, title, sep="\t", file=file)
            if verdict in ("survived", "same sums", "unchanged"):
                print(f"{verdict} {number}: {title}  {outcome.survivor}")
    totals = Counter(verdicts)
    print(", ".join(f"{totals[word]} {word}" for word in (*WORST_FIRST, "same sums")) + f", of {len(titles)} mutants")
    return 1 if totals["survived"] or not totals["caught"] else 0


def main(arguments: list[str]) -> int:
    match arguments:
        case ["check"]:
            mutated_files()
            return 0
        case ["write", tree]:
            write(Path(tree))
            return 0
        case ["try", program, result]:
            return try_all(program, Path(result))
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
