#!/usr/bin/env python3
"""Opens report pages in a browser without a window, and looks at what it draws.

    test_page.py PROGRAM                 the pages that PROGRAM (write_report_pages) writes
    test_page.py report.html ROWS        one page made elsewhere
    --pictures FOLDER                    also writes a picture of each page, light, dark and printed

Exit code 77 where there is no browser (Debian: chromium-headless-shell or chromium)."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
NO_BROWSER = 77
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
WIDTH = 1280
NARROW = 400
UNITS = re.compile(r"\((tokens|s|ms|µs|ns|[kMGT]?B|ratio|number|ranks|times|%)(?!\w).*\)")
FAMILY_PLOTS = ("latency", "ratio", "time", "memory", "samples")
STEP_PLOTS = ("latency", "ratio", "step", "time", "saved", "memory", "samples")
# What a bar consists of, by its names in the page.
PARTS = {"step": {"forward": "forward_s", "backward": "backward_s", "optimizer": "optimizer_s"},
         "time": {"GEMMs": "gemm_s", "attention": "attention_s", "norms": "norm_s", "waiting for ranks": "wait_s",
                  "moving data": "move_s", "fused add-norm": "seam_s", "other": "other_s"},
         "memory": {"weights": "weights_bytes", "gradients": "gradient_bytes", "optimizer": "optimizer_bytes",
                    "saved for the backward": "saved_at_peak_bytes", "recomputed": "recomputed_bytes",
                    "activations": "activations_bytes", "logits": "logits_bytes", "collectives": "collective_bytes",
                    "other resident": "resident_bytes"}}


class Browser:
    def __init__(self, program, folder):
        self.program = program
        self.folder = folder

    def run(self, page, *options):
        """What the browser wrote to its two outputs."""
        command = [self.program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   "--disable-dev-shm-usage", f"--user-data-dir={self.folder / 'profile'}", "--enable-logging=stderr",
                   f"--window-size={WIDTH},900", "--virtual-time-budget=5000", *options, Path(page).resolve().as_uri()]
        run = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=120)
        if run.returncode != 0:
            sys.exit(f"{self.program} ended with {run.returncode}:\n{run.stderr}")
        return run.stdout, run.stderr

    def look(self, page, width=WIDTH):
        """What probe.js sees in the page, and what the page wrote to the console."""
        text = Path(page).read_bytes()
        probe = b"<script>" + (HERE / "probe.js").read_bytes() + b"</script>\n</body>"
        probed = self.folder / f"probed-{Path(page).name}"
        before, end = text.rsplit(b"</body>", 1)
        probed.write_bytes(before + probe + end)
        dom, log = self.run(probed, "--dump-dom", f"--window-size={width},900")
        found = re.search(r'<script type="application/json" id="seen">(.*?)</script>', dom, re.DOTALL)
        if not found:
            sys.exit(f"{page}: the probe did not come to its end:\n{log}")
        seen = json.loads(found[1])
        seen["console"] = [line for line in log.splitlines() if "CONSOLE" in line]
        return seen

    def take_pictures(self, page, folder):
        name = Path(page).stem
        for kind, options in {"light": [], "dark": ["--blink-settings=preferredColorScheme=0"]}.items():
            self.run(page, f"--screenshot={folder / f'{name}-{kind}.png'}", "--window-size=1280,4200", *options)
        self.run(page, f"--print-to-pdf={folder / f'{name}.pdf'}", "--no-pdf-header-footer")


class Findings:
    def __init__(self):
        self.failures = 0
        self.checks = 0

    def expect(self, page, holds, sentence, detail=""):
        self.checks += 1
        if not holds:
            self.failures += 1
            print(f"FAILED {page}: {sentence}. Seen: {str(detail)[:400]}")


def rows_of(page):
    data = re.search(r'id="data">(.*?)</script>', Path(page).read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(data[1])["rows"]


def latency_order(page):
    """The rows' numbers from the fastest to the slowest, read from the page's data."""
    rows = rows_of(page)
    timed = [i for i, row in enumerate(rows) if "latency_s" in row]
    untimed = [i for i, row in enumerate(rows) if "latency_s" not in row]
    up = sorted(timed, key=lambda i: rows[i]["latency_s"])
    return up + untimed, up[::-1] + untimed


def check_any(page, rows, seen, findings):
    """What holds for every page."""
    name = Path(page).stem

    def expect(holds, sentence, detail=""):
        findings.expect(name, holds, sentence, detail)

    expect(seen["ready"] == "yes", "the script comes to its end", seen["errors"])
    expect(seen["errors"] == "" and not seen["console"], "no error is reported", seen["errors"] or seen["console"])
    expect(seen["rows"] == rows, f"the table has {rows} rows", seen["rows"])
    expect(seen["overflow"] <= 0, f"nothing is wider than {WIDTH} pixels", seen["overflow"])
    expect(seen["unlabelled"] == 0, "every control and plot has a name", seen["unlabelled"])
    expect(seen["injected"] == 0, "no text has become an element", seen["injected"])
    for plot in seen["plots"]:
        kind = plot["kind"]
        expect(plot["marks"] > 0, f"the plot of {kind} shows something")
        expect(not plot["broken"], f"every place in the plot of {kind} is a number")
        expect(not plot["overlaps"], f"no texts overlap each other or a bar in the plot of {kind}", plot["overlaps"])
        expect(not plot["outside"], f"nothing is outside the plot of {kind}", plot["outside"])
        labels = plot["labels"]
        expect(len(labels) == 2 and all(UNITS.search(label) for label in labels),
               f"both axes of the plot of {kind} have a label with a unit", labels)
        looks = [entry["look"] for entry in plot["legend"]]
        expect(len(set(looks)) == len(looks), f"no two entries of the legend of {kind} look alike", plot["legend"])
        colours = [entry["colour"] for entry in plot["legend"] if entry["colour"]]
        expect(len(set(colours)) == len(colours), f"no two parts of {kind} have the same colour", colours)
    if rows:
        check_table(page, rows, seen, expect)


def check_table(page, rows, seen, expect):
    up, down = latency_order(page)
    seen_sorted = seen["sorted"]
    expect(seen_sorted["up"] == {"aria": "ascending", "order": up}, "a click on latency sorts", seen_sorted["up"])
    expect(seen_sorted["down"] == {"aria": "descending", "order": down}, "a second click reverses the order",
           seen_sorted["down"])
    expect(seen_sorted["focused"], "the button of a header takes the keyboard")
    expect(seen_sorted["others"] == 1, "one column is marked as sorted", seen_sorted["others"])
    expect(seen_sorted["back"] == list(range(rows)), "sorting by row number restores the order", seen_sorted["back"])
    expect(seen["filtered"]["again"] == rows, "an empty filter shows all rows", seen["filtered"])
    expect(seen["columns"]["brief"] < seen["columns"]["full"], "all columns are more than the brief ones",
           seen["columns"])
    expect(seen["columns"]["overflow"] <= 0, f"all columns scroll within {WIDTH} pixels", seen["columns"])


def kinds(seen):
    return [plot["kind"] for plot in seen["plots"]]


def check_usual(seen, expect):
    expect(len(seen["families"]) == 2, "each number format has plots of its own", seen["families"])
    for kind, count in {"latency": 2, "ratio": 2, "time": 2, "memory": 2, "samples": 6, "scaling": 0}.items():
        expect(kinds(seen).count(kind) == count, f"there are {count} plots of {kind}", kinds(seen).count(kind))
    expect(seen["left_out"] == [], "no plot is left out", seen["left_out"])
    expect(seen["filtered"]["count"] == 2, "the filter finds the two rows of tp+sp at 1,024", seen["filtered"])
    expect("All 12 rows passed the check" in seen["answer"], "the answer reports the check", seen["answer"])
    expect("8.6e-7, at most 27% of what is allowed for rounding" in seen["answer"], "the answer holds the largest error",
           seen["answer"])
    expect("let the machine cool down" in seen["answer"], "the answer holds the warnings", seen["answer"])
    verdict = r"tp\+sp takes [a-z]+( same)? time (as|than) tp at seq 256 \([\d.]+ of it, [\d.]+ to [\d.]+\)"
    expect(re.search(verdict, seen["answer"]), "the answer compares the plans", seen["answer"])
    expect(len(seen["plan_files"]) == 2, "each plan file is there once", len(seen["plan_files"]))


def check_failures(seen, expect):
    expect(len(seen["problems"]) == 2 and all("✗" in mark for mark in seen["problems"]),
           "failing rows are marked by a sign", seen["problems"])
    expect("needs 31.2 GB" in seen["answer"], "the answer says why a row failed", seen["answer"])
    expect("1 row of 13 failed the check" in seen["answer"], "the answer reports the check", seen["answer"])


def check_no_details(seen, expect):
    expect(set(kinds(seen)) == {"latency", "ratio"}, "what was measured is plotted", set(kinds(seen)))
    expect(len(seen["left_out"]) == 6, "three plots of each family are said to be left out", seen["left_out"])


def check_hostile(seen, expect):
    expect(any("</script>" in text and "<!--" in text for text in seen["plan_files"]),
           "a plan file is shown as it is", seen["plan_files"])


def check_many(seen, expect):
    expect(len(seen["families"]) == 4, "each number format and world size has plots of its own", seen["families"])
    expect(kinds(seen).count("scaling") == 12, "each length has a plot of scaling", kinds(seen).count("scaling"))
    expect(set(kinds(seen)) == {*FAMILY_PLOTS, "scaling"}, "every kind of plot is there", set(kinds(seen)))


def check_single(seen, expect):
    expect(kinds(seen) == ["latency", "time", "memory", "samples"], "one row has all plots but that of ratios",
           kinds(seen))


def check_collectives(seen, expect):
    expect(len(seen["families"]) == 2, "collectives are in no plot of forwards", seen["families"])
    expect("4 rows of collectives alone, with right results" in seen["answer"], "the answer reports collectives",
           seen["answer"])
    expect("All 12 rows passed the check" in seen["answer"], "the check of forwards is reported too", seen["answer"])


def check_collectives_only(seen, expect):
    expect(seen["plots"] == [], "there is no plot of forwards", kinds(seen))
    expect("4 rows of collectives alone" in seen["answer"], "the answer reports collectives", seen["answer"])
    expect("against" not in seen["answer"], "nothing is said of plans", seen["answer"])


def check_two_runs(seen, expect):
    expect(re.search(r"tp\+sp takes [a-z ]*time (as|than) tp at seq 256 \((0\.9|1\.0)", seen["answer"]),
           "the plans of one run are compared", seen["answer"])
    expect("tp takes" not in seen["answer"], "tp is not compared with tp+sp of another run", seen["answer"])
    expect("no run measured both" not in seen["answer"], "nothing is said of pairs across runs", seen["answer"])


def check_across_runs(seen, expect):
    expect("At seq 256, 512 and 1024 no run measured both" in seen["answer"], "a pair across runs is named as one",
           seen["answer"])


def of_kind(seen, kind):
    return [plot for plot in seen["plots"] if plot["kind"] == kind]


def check_bars(plot, rows, expect):
    """The bars of a figure of these rows: their parts and lengths are those of the rows."""
    kind, parts = plot["kind"], PARTS[plot["kind"]]
    rows = sorted(rows, key=lambda row: row["seq"])  # the plans are in the order of the rows
    expect(len(plot["bars"]) == len(rows), f"each row has a bar of {kind}", len(plot["bars"]))
    total = (lambda row: row["allocated_bytes"]) if kind == "memory" else (lambda row: sum(
        row.get(column, 0) for column in parts.values()))
    widths = [sum(part["width"] for part in bar) for bar in plot["bars"]]
    longest = {row["seq"]: max(total(other) for other in rows if kind == "memory" or other["seq"] == row["seq"])
               for row in rows}
    for row, bar, width in zip(rows, plot["bars"], widths):
        place = f"{row['plan']} at seq {row['seq']}, "
        expect(all(part["words"].startswith(place) for part in bar), f"a bar of {kind} is of {place}", bar)
        drawn = {part["words"].removeprefix(place).split(": ")[0]: part["width"] for part in bar}
        expect({parts[name] for name in drawn} == {column for column in parts.values() if row.get(column, 0) > 0},
               f"a bar of {kind} has the row's parts", drawn)
        expect(all(abs(size - row[parts[name]] / total(row) * width) < 0.5 for name, size in drawn.items()),
               f"the parts of a bar of {kind} are as long as the row's, and add up to its total", (row["plan"], drawn))
        share = total(row) / longest[row["seq"]]
        expect(abs(width - share * max(widths)) < 1, f"a bar of {kind} is as long as its row says",
               (width, share * max(widths)))


def check_heights(plot, rows, column, expect):
    heights = {one["words"].split(":")[0]: one["height"] for one in plot["heights"]}
    values = {f"{row['plan']} at seq {row['seq']}": row[column] for row in rows}
    expect(heights.keys() == values.keys(), f"each row has a mark in the plot of {plot['kind']}", heights)
    unit = max(heights.values()) / max(values.values())
    expect(all(abs(heights.get(name, 0) - unit * value) < 0.5 for name, value in values.items()),
           f"the marks of {plot['kind']} are as high above zero as the rows say", heights)


def check_steps(seen, expect, page):
    name = "llama-7b, 2 layers, batch 2, fp32, training step, recompute {}, adamw, 2 ranks"
    policies = ("none", "attention", "block")
    expect(seen["families"] == [name.format(policy) for policy in policies],
           "steps that recompute differently have plots of their own", seen["families"])
    expect(kinds(seen) == [kind for _ in policies for kind in STEP_PLOTS for _ in range(3 if kind == "samples" else 1)],
           "each family of steps has every plot", kinds(seen))
    expect(seen["left_out"] == [], "no plot is left out", seen["left_out"])
    expect(seen["answer"].count("tp+sp takes") == 3, "each family has its answer", seen["answer"])
    rows = rows_of(page)
    for i, policy in enumerate(policies):
        own = [row for row in rows if row["recompute"] == policy]
        for kind in PARTS:
            check_bars(of_kind(seen, kind)[i], own, expect)
        check_heights(of_kind(seen, "saved")[i], own, "saved_bytes", expect)
        legend = [entry["name"] for entry in of_kind(seen, "memory")[i]["legend"]]
        gone = [] if policy == "block" else ["recomputed"]
        expect(legend == [part for part in PARTS["memory"] if part not in gone] + ["predicted peak"],
               "the legend of memory has the parts of steps that are there", legend)
    expect("2 repetitions" in seen["protocol"] and "2 forwards" not in seen["protocol"],
           "the warm-up is not said to be of forwards", seen["protocol"])
    expect("one training step" in of_kind(seen, "latency")[0]["note"], "the note of latency says what it is of",
           of_kind(seen, "latency")[0]["note"])
    expect("One training step" in of_kind(seen, "time")[0]["note"], "the note of time says what it is of",
           of_kind(seen, "time")[0]["note"])


def check_steps_and_forwards(seen, expect, page):
    step = "llama-7b, 2 layers, batch 2, fp32, training step, recompute none, {}, 2 ranks"
    usual = ["regather on", "no optimizer", "1 micro-batch"]
    steps = [usual, ["no regather", *usual[1:]], [usual[0], "adamw", usual[2]], [*usual[:2], "2 micro-batches"]]
    expect(seen["families"] == ["llama-7b, 2 layers, batch 2, fp32, 2 ranks",
                                *(step.format(", ".join(words)) for words in steps)],
           "what steps differ in is in the names, and nothing of it in those of forwards", seen["families"])
    for kind, count in {"latency": 5, "time": 5, "memory": 5, "step": 4, "saved": 4}.items():
        expect(kinds(seen).count(kind) == count, f"there are {count} plots of {kind}", kinds(seen).count(kind))
    expect(seen["left_out"] == [], "nothing is said of plots that forwards do not have", seen["left_out"])
    rows = [row for row in rows_of(page) if "workload" not in row]
    memory, latency = of_kind(seen, "memory")[0], of_kind(seen, "latency")[0]
    legend = [entry["name"] for entry in memory["legend"]]
    expect(legend == ["weights", "activations", "logits", "collectives", "other resident", "predicted peak"],
           "the legend of a forward's memory has five parts", legend)
    check_bars(memory, rows, expect)
    check_bars(of_kind(seen, "time")[0], rows, expect)
    expect("one forward" in latency["note"], "the note of a forward's latency says what it is of", latency["note"])
    titles = [plot["title"] for plot in of_kind(seen, "step")]
    expect(titles == ["A step's forward and backward"] * 2 + ["A step's forward, backward and optimizer"] +
           ["A step's forward and backward"], "the optimizer is named where there is one", titles)
    legends = [{entry["name"] for entry in plot["legend"]} for plot in of_kind(seen, "memory")]
    expect(["optimizer" in legend for legend in legends] == [False, False, False, True, False],
           "the legend of memory has the optimizer where there is one", legends)


def check_steps_usual(seen, expect):
    case = "llama-7b, 2 layers, batch 2, fp32"
    expect(seen["families"] == [f"{case}, 2 ranks", f"{case}, training step, recompute block, 2 ranks"],
           "what is usual of all steps is not in their names", seen["families"])


def check_steps_no_details(seen, expect):
    expect(kinds(seen) == ["latency", "ratio"], "what was measured is plotted", kinds(seen))
    expect(len(seen["left_out"]) == 5, "five plots of the family are said to be left out", seen["left_out"])


def check_steps_far_apart(seen, expect, page):
    check_heights(of_kind(seen, "saved")[0], rows_of(page), "saved_bytes", expect)


WITH_ROWS = {"steps": check_steps, "steps-and-forwards": check_steps_and_forwards,
             "steps-far-apart": check_steps_far_apart}
SPECIAL = {"steps-no-details": check_steps_no_details, "steps-usual": check_steps_usual, "two-runs": check_two_runs, "across-runs": check_across_runs,
           "collectives": check_collectives, "collectives-only": check_collectives_only,
           "usual": check_usual, "failures": check_failures, "no-details": check_no_details, "hostile": check_hostile,
           "many": check_many, "single": check_single}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", type=Path)
    parser.add_argument("rows", type=int, nargs="?")
    parser.add_argument("--pictures", type=Path)
    return parser.parse_args()


def pages_of(options, folder):
    """Path and number of rows of each page."""
    if options.rows is not None:
        return [(options.what, options.rows)]
    written = subprocess.run([options.what.resolve(), folder], capture_output=True, text=True, check=True).stdout
    return [(folder / f"{name}.html", int(rows)) for name, rows in (line.split() for line in written.splitlines())]


def main():
    options = arguments()
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"no browser: none of {', '.join(BROWSERS)} is installed", file=sys.stderr)
        return NO_BROWSER
    findings = Findings()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HOME"] = name  # the browser writes there
        browser = Browser(program, folder)
        pages = pages_of(options, folder)
        for page, rows in pages:
            seen = browser.look(page)
            check_any(page, rows, seen, findings)
            if options.rows is None and page.stem in SPECIAL:
                SPECIAL[page.stem](seen, lambda *what, stem=page.stem: findings.expect(stem, *what))
            if options.rows is None and page.stem in WITH_ROWS:
                WITH_ROWS[page.stem](seen, lambda *what, stem=page.stem: findings.expect(stem, *what), page)
                narrow = browser.look(page, NARROW)["overflow"]
                findings.expect(page.stem, narrow <= 0, f"nothing is wider than {NARROW} pixels on a narrow screen", narrow)
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                browser.take_pictures(page, options.pictures.resolve())
    print(f"{len(pages)} pages, {findings.checks} checks, {findings.failures} failed")
    return 1 if findings.failures or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
