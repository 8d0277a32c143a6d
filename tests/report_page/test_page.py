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
UNITS = re.compile(r"\((tokens|s|ms|µs|ns|[kMGT]?B|ratio|number|ranks|times|%)(?!\w).*\)")
FAMILY_PLOTS = ("latency", "ratio", "time", "memory", "samples")


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

    def look(self, page):
        """What probe.js sees in the page, and what the page wrote to the console."""
        text = Path(page).read_bytes()
        probe = b"<script>" + (HERE / "probe.js").read_bytes() + b"</script>\n</body>"
        probed = self.folder / f"probed-{Path(page).name}"
        before, end = text.rsplit(b"</body>", 1)
        probed.write_bytes(before + probe + end)
        dom, log = self.run(probed, "--dump-dom")
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


def latency_order(page):
    """The rows' numbers from the fastest to the slowest, read from the page's data."""
    data = re.search(r'id="data">(.*?)</script>', Path(page).read_text(encoding="utf-8"), re.DOTALL)
    rows = json.loads(data[1])["rows"]
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


SPECIAL = {"two-runs": check_two_runs, "across-runs": check_across_runs,
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
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                browser.take_pictures(page, options.pictures.resolve())
    print(f"{len(pages)} pages, {findings.checks} checks, {findings.failures} failed")
    return 1 if findings.failures or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
