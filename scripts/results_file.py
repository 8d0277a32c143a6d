"""Results files of tpsp-bench, read for the Python scripts in this folder.

A row is a dict by column name, see docs/columns.md; a cell that was not measured is not in it.
"""
import csv
import importlib
import json
import math
import sys
from pathlib import Path

# The format as `tpsp-bench columns --json` describes it.
FORMAT = json.loads((Path(__file__).resolve().parent / "columns.json").read_text(encoding="utf-8"))
COLUMNS = FORMAT["columns"]
SCHEMAS = range(FORMAT["oldest_schema"], FORMAT["schema"] + 1)
FORMER = {column["former_name"]: name for name, column in COLUMNS.items() if "former_name" in column}
RAW = {name for name, column in COLUMNS.items() if column["detail"] == "raw"}

# What a case is, in the order that names are made of it; plan and seq differ within a picture.
# Of training steps; a forward has none.
STEP = ("workload", "recompute", "regather", "optimizer", "micro_batches", "dp", "shard")
USUAL = {"regather": "on", "optimizer": "none", "micro_batches": 1, "dp": 1, "shard": "none"}
CASE = ("device", "model", "layers", "batch", "dtype", *STEP, "world", "rank", "threads", "backend", "device_name")
NEEDED = ("status", "model", "layers", "plan", "batch", "seq", "world", "dtype", "device")

class BadFile(Exception):
    """What is wrong with a results file, in one line."""


def fail(message, code=2):
    print(f"{Path(sys.argv[0]).name}: error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(code)


def library(name, package):
    """The module, or the end of the program with a line that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        fail(f"no Python module {name} ({error}); install it with: {sys.executable} -m pip install {package}")


def read(path):
    """The rows of forwards and training steps in a CSV or JSON Lines file; those of collectives alone and a last line
    torn by a kill are left out. Throws BadFile."""
    formats = {".csv": csv_rows, ".jsonl": json_rows}
    if Path(path).suffix not in formats:
        raise BadFile(f"{path}: neither .csv nor .jsonl; give a file that tpsp-bench --out wrote")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}; give a file that tpsp-bench --out wrote") from error
    except UnicodeDecodeError as error:
        raise BadFile(f"{path}: no results file: it is not text") from error
    rows = formats[Path(path).suffix](path, text)
    if not rows:
        raise BadFile(f"{path}: no rows of forwards or training steps; was the run stopped before its first case?")
    return rows


def csv_rows(path, text):
    header, rows = None, []
    for number, cells in enumerate(csv.reader(text.split("\n")), 1):
        if not cells:
            continue
        if header is None:
            header = [FORMER.get(name, name) for name in cells]
        elif "collective" in header and len(cells) == len(header) and cells[header.index("collective")]:
            continue
        elif len(cells) == len(header):
            row = today(dict(zip(header, map(typed, header, cells))))
            rows.append({name: cell for name, cell in row.items() if cell is not None})
        elif number <= text.count("\n"):
            raise BadFile(f"{path}:{number}: {len(cells)} cells under {len(header)} column names; the line is damaged")
        require_columns(f"{path}:{number}", header, rows[-1] if rows else {})
    return rows


def json_rows(path, text):
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, parse_constant=lambda _: None)
        except ValueError as error:
            if number > text.count("\n") and rows:
                break
            raise BadFile(f"{path}:{number}: no results file: the line is not JSON ({error})") from error
        if isinstance(row, dict) and row.get("collective"):
            continue
        row = today(row) if isinstance(row, dict) else {}
        require_columns(f"{path}:{number}", row, row)
        rows.append({name: cell for name, cell in row.items() if cell not in (None, "", [])})
    return rows


def today(row):
    """The row with the columns and values of an earlier schema under their names of today."""
    named = {FORMER.get(name, name): cell for name, cell in row.items()}
    return {name: COLUMNS.get(name, {}).get("former_values", {}).get(cell, cell) if isinstance(cell, str) else cell
            for name, cell in named.items()}


def require_schema(where, schema, remedy):
    if schema not in SCHEMAS:
        raise BadFile(f"{where}: schema {schema}, and this script knows {SCHEMAS.start} to {SCHEMAS[-1]}; {remedy}")


def require_columns(where, names, row):
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise BadFile(f"{where}: no results file: it lacks {', '.join(missing)}")
    for name in ("batch", "layers", "seq", "world"):
        if row and not isinstance(row.get(name), int):
            raise BadFile(f"{where}: {name} is '{row.get(name, '')}', which is no number; the line is damaged")
    if row:
        require_schema(where, row.get("schema", 1), "take the script of the version that wrote the file")


def typed(name, cell):
    """A CSV cell as JSON Lines would have it; None for an empty one and for what is not finite."""
    if cell == "":
        return None
    kind = COLUMNS.get(name, {}).get("kind", "number")  # an unknown column is a number where it looks like one
    if kind in ("text", "words"):
        return cell if kind == "text" else cell.split(";")
    try:
        value = float(cell) if not cell.lstrip("-").isdigit() else int(cell)
    except ValueError:
        return cell
    return value if not isinstance(value, float) or math.isfinite(value) else None


def measured(rows):
    return [row for row in rows if row["status"] == "ok"]


def shared(rows):
    """The cells that are the same in all rows and were not measured."""
    first = rows[0]
    names = [name for name in first if COLUMNS.get(name, {}).get("of") in ("case", "run") and name not in RAW]
    return {name: first[name] for name in names if all(row.get(name) == first[name] for row in rows)}


def varying(rows, columns=CASE):
    """Case columns in which the rows' cases differ, without those that add nothing to the ones before."""
    names, cases = [], 1
    for name in columns:
        finer = len({tuple(row.get(column) for column in [*names, name]) for row in rows})
        if finer > cases:
            names, cases = [*names, name], finer
    return names


def is_step(row):
    return row.get("workload") == "train"


def step_names(row, differing):
    """What is said of a training step: always what it recomputes, and what is unusual or among the differing names."""
    unusual = [name for name in STEP if name in row and row[name] != USUAL.get(name)]
    return [name for name in STEP if name in unusual or name in row and name in differing]


def case_words(row, names=CASE):
    """The named cells for people: ["llama-7b", "2 layers", "fp32", ...]."""
    units = {"layers": "layer", "world": "rank", "threads": "thread", "dp": "replica"}
    spoken = {("workload", "train"): "training step", ("regather", "on"): "regather on",
              ("regather", "off"): "no regather", ("optimizer", "none"): "no optimizer",
              ("shard", "none"): "nothing sharded"}
    words = []
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        many = "" if value == 1 else "s"
        words.append(f"{value} {units[name]}{many}" if name in units else
                     f"{name} {value}" if name in ("batch", "recompute") else
                     f"rank {value} alone" if name == "rank" else
                     spoken.get((name, value), f"sharded {value}") if name == "shard" else
                     f"{value} micro-batch{'es' if many else ''}" if name == "micro_batches" else
                     spoken.get((name, value), value))
    return words


def number(row, column):
    value = row.get(column)
    return value if isinstance(value, (int, float)) else None


def distinct(rows, column):
    return sorted({row[column] for row in rows})


def interval(row, column):
    """What the interval of the column adds below and above its value, or None."""
    stem = column.removesuffix("_s")
    ending = column[len(stem):]
    low, high = (number(row, f"{stem}_{end}{ending}") for end in ("low", "high"))
    if low is None or high is None:
        return None
    return [[row[column] - low], [high - row[column]]]


def groups(rows, but):
    """(words, rows) for each value of the columns of CASE but the given ones; the words name the differing columns."""
    names = [name for name in CASE if name not in but]
    result = {}
    for row in rows:
        result.setdefault(tuple(row.get(name) for name in names), []).append(row)
    return [(case_words(group[0], varying(rows, names)), group) for group in result.values()]


def runs(rows):
    """The rows by run_id."""
    result = {}
    for row in rows:
        result.setdefault(row.get("run_id", "run"), []).append(row)
    return result


def metrics(rows):
    """(seq, {"latency_s/tp": number, ...}) of each measured row; what else differs between rows is in the name too."""
    names = varying(rows)
    for row in measured(rows):
        series = " ".join([row["plan"], *map(str, case_words(row, names))])
        numbers = {name: value for name, value in row.items() if isinstance(value, (int, float))
                   and COLUMNS.get(name, {}).get("of", "measurement") == "measurement"}
        yield row["seq"], {f"{name}/{series}": value for name, value in numbers.items()}


def log_files(log_run, tracker, options):
    """Calls log_run(tracker, name, rows, options) for each run of each of options.files."""
    try:
        files = [(Path(path), read(path)) for path in options.files]
    except BadFile as error:
        fail(error)
    for path, rows in files:
        for run_id, run_rows in runs(rows).items():
            try:
                log_run(tracker, f"{path.stem}-{run_id}", run_rows, options)
            except Exception as error:  # three libraries, each with kinds of its own
                fail(f"{path}, run {run_id}: {error}", 6)
