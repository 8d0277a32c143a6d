#!/usr/bin/env python3
"""The Python scripts that read results files, run as users run them. tests/data/example-results.* hold made-up rows of
four runs: fp32 on 1, 2 and 4 ranks, and bf16 on 2 with a last row that ran out of memory."""
import csv
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"
EXAMPLE = REPOSITORY / "tests/data/example-results.jsonl"
ROWS = [json.loads(line) for line in EXAMPLE.read_text().splitlines()]
BARS = ("time", "allocated", "reserved", "cpu-time", "cpu-memory", "before-head")
sys.path.insert(0, str(SCRIPTS))
sys.dont_write_bytecode = True

import plot  # noqa: E402  (from the folder above)
import results_file  # noqa: E402

PAIR = [row for row in ROWS if row["world"] == 2 and row["dtype"] == "fp32" and row["seq"] == 512]


def run(script, *arguments, **environment):
    return subprocess.run([sys.executable, SCRIPTS / script, *map(str, arguments)], capture_output=True, text=True,
                          env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment)


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def svg_words(path):
    """The text of a picture, in words."""
    return " ".join("".join(ElementTree.parse(path).getroot().itertext()).replace("\u00a0", " ").split())


class InFolder(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def draw(self, rows, *arguments):
        """The names of the pictures of these rows, as SVG in folder/out, and what the script said on stderr."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        result = run("plot.py", write_rows(self.folder / "rows.jsonl", rows), "-o", self.folder / "out",
                     "--format", "svg", *arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return {path.stem for path in (self.folder / "out").iterdir()}, result.stderr

    def words(self, name):
        return svg_words(self.folder / "out" / f"{name}.svg")

    def assert_one_line(self, result, code, *texts):
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        for text in texts:
            self.assertIn(text, result.stderr)


class Example(InFolder):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        shutil.copy(EXAMPLE, cls.folder / "example.jsonl")
        cls.result = run("plot.py", cls.folder / "example.jsonl")
        cls.plots = cls.folder / "plots"

    def test_every_picture_of_every_group_appears_twice_beside_the_file(self):
        self.assertEqual(self.result.returncode, 0, self.result.stderr)
        every, ratio = ("fp32-1-rank", "fp32-2-ranks", "fp32-4-ranks", "bf16-2-ranks"), "fp32-1-rank"
        names = {f"{name}-{group}" for name in (*BARS, "ratio", "time-split", "memory-split") for group in every}
        names = names - {f"ratio-{ratio}"} | {"scaling-fp32"}
        self.assertEqual({path.name for path in self.plots.iterdir()},
                         {f"{name}.{ending}" for name in names for ending in ("svg", "png")})

    def test_what_is_left_out_is_said_with_the_reason(self):
        self.assertEqual(self.result.stderr.splitlines(),
                         ["plot.py: left out ratio-fp32-1-rank: ratio is empty",
                          "plot.py: left out scaling-bf16: all rows have the same world"])

    def test_axes_have_names_and_units(self):
        for name, label in {"time": "median time, 95% interval, s", "allocated": "allocated memory, GB",
                            "reserved": "reserved memory, GB", "cpu-time": "median time, 95% interval, s",
                            "cpu-memory": "CPU memory, GB", "ratio": "below 1: TP+SP is faster",
                            "before-head": "memory before the head, MB", "time-split": "time, s", "memory-split": "memory of a rank, GB"}.items():
            words = svg_words(self.plots / f"{name}-fp32-2-ranks.svg")
            self.assertIn(label, words)
            self.assertIn("sequence length, tokens", words)
        words = svg_words(self.plots / "scaling-fp32.svg")
        for label in ("median time, s", "speed-up over 1 rank", "world, ranks"):
            self.assertIn(label, words)

    def test_titles_name_case_machine_and_date(self):
        for path in self.plots.glob("*-fp32-4-ranks.svg"):
            words = svg_words(path)
            self.assertIn("llama-7b · 2 layers · batch 2 · fp32 · 4 ranks", words)
            self.assertIn("cpu · Intel(R) Xeon(R) Processor · node1 · 2026-11-22", words)

    def test_bars_carry_the_values_of_the_file(self):
        for name, column, size in (("time", "latency_s", 1), ("allocated", "allocated_bytes", 1e9),
                                   ("reserved", "reserved_bytes", 1e9), ("cpu-memory", "process_bytes", 1e9)):
            words = svg_words(self.plots / f"{name}-fp32-2-ranks.svg").split()
            for row in ROWS[3:9]:
                self.assertIn(f"{row[column] / size:.2f}", words, column)

    def test_pictures_have_a_white_frame_and_content(self):
        for path in self.plots.glob("*.png"):
            image = Image.open(path).convert("L")
            width, height = image.size
            self.assertGreater(path.stat().st_size, 15000, path)
            for box in ((0, 0, width, 3), (0, height - 3, width, height), (0, 0, 3, height),
                        (width - 3, 0, width, height)):
                self.assertEqual(image.crop(box).getextrema(), (255, 255), path)

    def test_the_csv_file_gives_the_same_pictures(self):
        result = run("plot.py", EXAMPLE.with_suffix(".csv"), "-o", self.folder / "csv", "--format", "svg")
        self.assertEqual(result.returncode, 0, result.stderr)
        for path in self.plots.glob("*.svg"):
            self.assertEqual((self.folder / "csv" / path.name).read_text(), path.read_text(), path)


class Values(unittest.TestCase):
    def test_the_axis_names_the_plan_over_its_baseline_as_the_column_does(self):
        self.assertEqual(plot.ratio_label([("tp+sp", "tp")]), "T(tp+sp) / T(tp)\nbelow 1: TP+SP is faster")
        self.assertEqual(plot.ratio_label([("tp", "tp+sp")]), "T(tp) / T(tp+sp)\nbelow 1: TP is faster")

    def test_units_fit_the_largest_value(self):
        self.assertEqual(plot.unit("latency_s", [3e-5, 2e-3]), (1e-3, "ms"))
        self.assertEqual(plot.unit("latency_s", [3e-5]), (1e-6, "µs"))
        self.assertEqual(plot.unit("allocated_bytes", [2e9]), (1e9, "GB"))
        self.assertEqual(plot.unit("allocated_bytes", [2e7]), (1e6, "MB"))

    def test_csv_and_json_lines_hold_the_same_rows(self):
        lines, cells = results_file.read(EXAMPLE), results_file.read(EXAMPLE.with_suffix(".csv"))
        self.assertEqual([{k: v for k, v in row.items() if k not in results_file.RAW} for row in lines], cells)

    def test_what_the_rows_share_is_nothing_that_was_measured(self):
        rows = [row | {"warnings": ["other-load"]} for row in results_file.read(EXAMPLE)]
        shared = results_file.shared(rows)
        self.assertIn("model", shared)
        self.assertNotIn("warnings", shared)

    def test_a_name_made_of_digits_stays_text(self):
        cells = {"key": "0123456789012345", "case_id": "1234567890123456", "turns": "7", "plan": "7", "baseline": "7"}
        with open(EXAMPLE.with_suffix(".csv"), newline="") as file:
            rows = list(csv.DictReader(file))[:1]
        path = Path(self.enterContext(tempfile.TemporaryDirectory())) / "digits.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys() | cells.keys())
            writer.writeheader()
            writer.writerow(rows[0] | cells)
        row, = results_file.read(path)
        self.assertEqual({name: row[name] for name in cells}, cells)

    def test_the_example_has_only_columns_of_the_program(self):
        with open(EXAMPLE.with_suffix(".csv")) as file:
            columns = next(csv.reader(file))
        used = {*columns, *(name for row in ROWS for name in row), *results_file.CASE, *results_file.NEEDED}
        self.assertEqual(used - {*results_file.COLUMNS, *results_file.FORMER}, set())


class OtherRows(InFolder):
    def test_one_row_is_enough_and_needs_no_group_in_its_names(self):
        names, _ = self.draw(PAIR[:1])
        self.assertEqual(names, {*BARS, "time-split", "memory-split"})

    def test_a_missing_interval_leaves_the_bar(self):
        rows = [{k: v for k, v in row.items() if not k.endswith(("_low_s", "_high_s", "_low"))} for row in PAIR]
        self.draw(rows)
        self.assertIn("median time, s", self.words("time"))
        self.assertNotIn("95%", self.words("time"))

    def test_with_cuda_rows_the_first_three_are_theirs(self):
        names, _ = self.draw(PAIR + [row | {"device": "cuda", "latency_s": 1e-3} for row in PAIR])
        both = {f"{name}-{device}" for name in ("ratio", "time-split", "memory-split", "before-head") for device in ("cpu", "cuda")}
        self.assertEqual(names, both | {"time-cuda", "allocated-cuda", "reserved-cuda", "cpu-time-cpu",
                                        "cpu-memory-cpu"})

    def test_plans_with_long_names_and_many_lengths(self):
        plans = ("tp", "tp+sp", "attention-only-with-replicated-feed-forward", "plan-with-<odd>-&-$long$-name_" * 3)
        rows = [PAIR[1] | {"plan": plan, "seq": seq, "baseline": "tp" if plan != "tp" else ""}
                for plan in plans for seq in (128, 256, 512, 1024, 2048, 4096)]
        names, _ = self.draw(rows)
        self.assertIn("ratio", names)
        self.assertIn("4096", self.words("time"))
        self.assertIn("below 1: the plan is faster", self.words("ratio"))

    def test_several_files_are_drawn_together(self):
        other = write_rows(self.folder / "other.jsonl", [row | {"world": 4} for row in PAIR])
        names, _ = self.draw(PAIR, other)
        self.assertIn("scaling", names)
        self.assertIn("time-4-ranks", names)

    def test_a_torn_last_line_is_left_out(self):
        path = write_rows(self.folder / "torn.jsonl", PAIR)
        path.write_text(path.read_text()[:-30])
        self.assertEqual(len(results_file.read(path)), 1)


    def test_rows_of_collectives_are_left_out(self):
        collective = {"schema": 2, "status": "ok", "collective": "all-reduce", "message_bytes": 8192, "world": 2}
        path = write_rows(self.folder / "both.jsonl", [collective, *PAIR])
        self.assertEqual(len(results_file.read(path)), len(PAIR))
        lines = EXAMPLE.with_suffix(".csv").read_text().split("\n")
        header = lines[0].split(",")
        cells = ",".join(str(collective.get(name, "")) for name in header)
        path = self.folder / "both.csv"
        path.write_text("\n".join([lines[0], cells, *lines[1:]]))
        self.assertEqual(results_file.read(path), results_file.read(EXAMPLE.with_suffix(".csv")))


def step_of(row, recompute, **more):
    """The row as one of a training step, with what it saves and computes again."""
    kept = {"none": 600_000_000, "attention": 500_000_000, "block": 90_000_000}[recompute]
    kept //= 1 if row["plan"] == "tp" else 2
    parts = {"gradient_bytes": row["weights_bytes"], "optimizer_bytes": 2 * row["weights_bytes"],
             "saved_at_peak_bytes": kept, "recomputed_bytes": 210_000_000 if recompute == "block" else 0}
    total = sum(row[part] for part in plot.MEMORY_PARTS) + sum(parts.values())
    return row | {"workload": "train", "recompute": recompute, "regather": "on", "optimizer": "adamw",
                  "micro_batches": 1, "forward_s": 0.3 * row["latency_s"], "backward_s": 0.65 * row["latency_s"],
                  "optimizer_s": 0.04 * row["latency_s"], "saved_bytes": kept + row["logits_bytes"], **parts,
                  "allocated_bytes": total, "predicted_bytes": total} | more


class Steps(InFolder):
    policies = ("none", "attention", "block")
    rows = [step_of(row, policy) for policy in policies for row in PAIR]

    def bars(self, draw, rows):
        """{name of a part: (its colour and hatch, [its length in each bar])} of a picture of lying bars."""
        ax, = draw(rows, ["tp", "tp+sp"]).axes
        return {bars.get_label(): ((bars[0].get_facecolor(), bars[0].get_hatch()), [bar.get_width() for bar in bars])
                for bars in ax.containers}

    def assert_lengths(self, drawn, values):
        self.assertEqual(len(drawn), len(values))
        for length, value in zip(drawn, values):
            self.assertAlmostEqual(length, value, 9)

    def test_steps_that_recompute_differently_have_pictures_of_their_own(self):
        names, said = self.draw(self.rows)
        kinds = (*BARS, "ratio", "time-split", "memory-split", "step-split", "saved")
        self.assertEqual(names, {f"{kind}-recompute-{policy}" for kind in kinds for policy in self.policies})
        self.assertEqual(said.splitlines(), [f"plot.py: left out scaling-recompute-{policy}: all rows have the same "
                                             "world" for policy in self.policies])
        for policy in self.policies:
            words = self.words(f"saved-recompute-{policy}")
            self.assertIn(f"fp32 · training step · recompute {policy} · adamw · 2 ranks", words)
            own = [row["saved_bytes"] for row in self.rows if row["recompute"] == policy]
            size, unit = plot.unit("saved_bytes", own)
            self.assertIn(f"saved for the backward, {unit}", words)
            for saved in own:
                self.assertIn(plot.short(saved / size), words.split())
        self.assertIn("Time of one training step", self.words("time-recompute-block"))
        self.assertIn("What the time of a training step", self.words("time-split-recompute-block"))

    def test_forwards_beside_steps_are_drawn_as_before(self):
        alone, _ = self.draw(PAIR)
        pictures = {name: (self.folder / "out" / f"{name}.svg").read_text() for name in alone}
        names, said = self.draw(PAIR + [step_of(row, "block") for row in PAIR])
        self.assertEqual(names, alone | {f"{name}-training-step" for name in (*alone, "step-split", "saved")})
        for name in alone:
            self.assertEqual((self.folder / "out" / f"{name}.svg").read_text(), pictures[name], name)
        self.assertNotIn("saved", said)
        self.assertNotIn("step-split", said)
        self.assertNotIn("regather", self.words("saved-training-step"))

    def test_what_steps_differ_in_is_in_their_names_and_titles(self):
        plain = {"optimizer": "none", "optimizer_s": None, "optimizer_bytes": 0}
        rows = [step_of(row, "none", **plain, **more) for row in PAIR
                for more in ({}, {"regather": "off"}, {"micro_batches": 4})]
        names, _ = self.draw(rows)
        cases = {"regather-on-1-micro-batch": "recompute none · regather on · 1 micro-batch",
                 "no-regather-1-micro-batch": "recompute none · no regather · 1 micro-batch",
                 "regather-on-4-micro-batches": "recompute none · regather on · 4 micro-batches"}
        self.assertEqual({name for name in names if name.startswith("saved")}, {f"saved-{case}" for case in cases})
        for case, words in cases.items():
            self.assertIn(f"fp32 · training step · {words} · 2 ranks", self.words(f"saved-{case}"))
            self.assertNotIn("optimizer", self.words(f"memory-split-{case}"))
            self.assertIn("forward backward", self.words(f"step-split-{case}"))

    def test_the_parts_are_those_of_the_rows_and_add_up(self):
        for policy in self.policies:
            rows = sorted((row for row in self.rows if row["recompute"] == policy), key=lambda row: row["plan"])
            memory = self.bars(plot.memory_split, rows)
            for name, column in {"gradients": "gradient_bytes", "optimizer": "optimizer_bytes",
                                 "saved for the backward": "saved_at_peak_bytes"}.items():
                self.assert_lengths(memory[name][1], [row[column] / 1e9 for row in rows])
            self.assertEqual("recomputed" in memory, policy == "block")
            for i, row in enumerate(rows):
                total = sum(lengths[i] for _, lengths in memory.values())
                self.assertAlmostEqual(total, row["allocated_bytes"] / 1e9, 9)
            step = self.bars(plot.step_split, rows)
            self.assertEqual(list(step), ["forward", "backward", "optimizer"])
            unit, _ = plot.unit("forward_s", [row["latency_s"] for row in rows])
            for name in step:
                self.assert_lengths(step[name][1], [row[f"{name}_s"] / unit for row in rows])

    def test_no_two_parts_look_alike_and_those_of_forwards_as_before(self):
        memory = self.bars(plot.memory_split, [row for row in self.rows if row["recompute"] == "block"])
        self.assertEqual(len(memory), 9)
        for place in (0, 1):
            self.assertEqual(len({look[place] for look, _ in memory.values()}), 9)
        forward = self.bars(plot.memory_split, PAIR)
        self.assertEqual(list(forward), ["weights", "activations", "logits", "collective", "resident"])
        for name, (look, _) in forward.items():
            self.assertEqual(memory[name][0], look, name)

    def test_trackers_keep_their_series_apart(self):
        series = {name for _, numbers in results_file.metrics(self.rows) for name in numbers}
        for policy in self.policies:
            self.assertIn(f"saved_bytes/tp+sp recompute {policy}", series)

    def test_steps_without_their_values_are_said_to_be_left_out(self):
        gone = ("saved_bytes", "forward_s", "backward_s", "optimizer_s")
        names, said = self.draw([{k: v for k, v in row.items() if k not in gone} for row in self.rows[:2]])
        self.assertFalse({"saved", "step-split"} & names)
        self.assertIn("plot.py: left out step-split: backward_s is empty\n", said)
        self.assertIn("plot.py: left out saved: saved_bytes is empty\n", said)


class Refusals(InFolder):
    def refused(self, name, text, *texts, code=2):
        path = self.folder / name
        path.write_text(text)
        self.assert_one_line(run("plot.py", path, "-o", self.folder / "none"), code, name, *texts)
        self.assertFalse((self.folder / "none").exists())

    def test_a_missing_file(self):
        self.assert_one_line(run("plot.py", self.folder / "missing.csv"), 2, "missing.csv", "No such file", "--out")

    def test_files_that_are_no_results_files(self):
        self.refused("a.csv", "a,b\n1,2\n", "no results file", "lacks status")
        self.refused("a.jsonl", "[1]\n", "no results file")
        self.refused("b.jsonl", "hello\nyou\n", "b.jsonl:1", "not JSON")
        self.refused("a.md", "|a|\n", ".csv nor .jsonl")

    def test_damaged_lines_are_named(self):
        text = EXAMPLE.with_suffix(".csv").read_text().split("\n")
        self.refused("c.csv", "\n".join([*text[:3], "2,ok", *text[3:]]), "c.csv:4", "2 cells")
        self.refused("d.jsonl", json.dumps(PAIR[0] | {"seq": "abc"}) + "\n", "d.jsonl:1", "seq is 'abc'")
        self.refused("e.jsonl", json.dumps(PAIR[0] | {"schema": 99}) + "\n", "schema 99")

    def test_files_without_rows(self):
        self.refused("empty.csv", "", "no rows")
        self.refused("empty.jsonl", "\n", "no rows")
        self.refused("header.csv", EXAMPLE.with_suffix(".csv").read_text().split("\n")[0] + "\n", "no rows")

    def test_no_row_that_is_ok(self):
        self.refused("failed.jsonl", json.dumps(ROWS[-1]) + "\n", "nothing to draw", "status ok", code=1)

    def test_rows_without_numbers(self):
        path = write_rows(self.folder / "bare.jsonl", [{k: PAIR[0][k] for k in ("schema", *results_file.NEEDED)}])
        result = run("plot.py", path)
        self.assertEqual(result.returncode, 1)
        self.assertIn("nothing to draw", result.stderr.splitlines()[-1])

    def test_a_folder_that_can_not_be_made(self):
        self.assert_one_line(run("plot.py", EXAMPLE, "-o", EXAMPLE / "plots"), 6, "example-results.jsonl")

    def test_another_format(self):
        self.assert_one_line(run("plot.py", EXAMPLE, "--format", "svg,bmp"), 2, "svg and png")

    def test_a_missing_library_is_one_line_that_says_how_to_get_it(self):
        for script, module, package in (("plot.py", "matplotlib", "matplotlib"), ("to_wandb.py", "wandb", "wandb"),
                                        ("to_tensorboard.py", "tensorboardX", "tensorboardX"),
                                        ("to_mlflow.py", "mlflow", "mlflow-skinny")):
            (self.folder / f"{module}.py").write_text("raise ImportError('not there')")
            self.assert_one_line(run(script, EXAMPLE, PYTHONPATH=str(self.folder)), 2, f"pip install {package}")


def event_records(path):
    """The payloads of a TensorBoard event file: length, its checksum, payload, its checksum."""
    data = path.read_bytes()
    while data:
        length, = struct.unpack("<Q", data[:8])
        yield data[12:12 + length]
        data = data[16 + length:]


class Trackers(InFolder):
    value = ROWS[3]["latency_s"]  # fp32, 2 ranks, tp, seq 256

    def log(self, script, *arguments):
        result = run(script, EXAMPLE, *arguments)
        self.assertEqual((result.returncode, result.stdout.count("\n")), (0, 4), result.stdout + result.stderr)

    def test_weights_and_biases(self):
        self.log("to_wandb.py", "--dir", self.folder)
        folders = list((self.folder / "wandb").glob("offline-run-*"))
        self.assertEqual(len(folders), 4)
        paths = self.folder.glob("wandb/offline-run-*/files/media/table/*.json")
        tables = [json.loads(path.read_text()) for path in paths]
        found = [dict(zip(table["columns"], row)) for table in tables for row in table["data"]]
        self.assertEqual(len(found), len(ROWS))
        self.assertIn(self.value, [row["latency_s"] for row in found])
        logged = b"".join(path.read_bytes() for path in self.folder.glob("wandb/offline-run-*/*.wandb"))
        self.assertIn(b"latency_s/tp+sp", logged)
        self.assertIn(str(self.value).encode(), logged)

    def test_tensorboard(self):
        from tensorboardX.proto.event_pb2 import Event
        self.log("to_tensorboard.py", "--dir", self.folder / "tb")
        self.assertEqual(len(list((self.folder / "tb").iterdir())), 4)
        found = {}
        for record in event_records(next(self.folder.glob(f"tb/*{ROWS[3]['run_id']}/*tfevents*"))):
            event = Event.FromString(record)
            found |= {(value.tag, event.step): value for value in event.summary.value}
        self.assertAlmostEqual(found["latency_s/tp", 256].simple_value, self.value, places=6)
        self.assertIn(b"|model|llama-7b|", found["case/text_summary", 0].tensor.string_val[0])
        self.assert_one_line(run("to_tensorboard.py", EXAMPLE, "--dir", self.folder / "tb"), 6, "there already")

    def test_mlflow(self):
        self.log("to_mlflow.py", "--store", self.folder / "store" / "mlflow.db")
        with sqlite3.connect(self.folder / "store" / "mlflow.db") as store:
            values = store.execute("select value from metrics where key = 'latency_s/tp' and step = 256").fetchall()
            models = store.execute("select value from params where key = 'model'").fetchall()
        self.assertIn((self.value,), values)
        self.assertEqual(models, [("llama-7b",)] * 4)


if __name__ == "__main__":
    unittest.main()
