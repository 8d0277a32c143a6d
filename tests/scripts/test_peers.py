#!/usr/bin/env python3
"""scripts/peers/table.py on made-up results, and the forwards and training steps of scripts/peers/ on two ranks."""
import csv
import os
import socket
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PEERS = Path(__file__).resolve().parents[2] / "scripts/peers"
sys.dont_write_bytecode = True
sys.path.insert(0, str(PEERS))
import table  # noqa: E402
from table import results_file  # noqa: E402

FORWARD = ("schema", "collective", "status", "check", "plan", "seq", "dtype", "backend", "latency_s", "gemm_fraction",
           "limit_fraction")
PEER = ("peer", "plan", "seq", "dtype", "world", "reps", "median_s", "low_s", "high_s", "max_abs_diff")
STEP = ("schema", "collective", "status", "check", "workload", "plan", "seq", "dtype", "recompute", "backend", "latency_s",
        "forward_s", "backward_s", "saved_bytes", "limit_fraction")
PEER_STEP = ("peer", "plan", "seq", "dtype", "world", "reps", "step_s", "saved_bytes", "recompute", "optimizer")
COLLECTIVE = ("schema", "collective", "message_bytes", "buffer", "backend", "dtype", "world", "latency_s", "algbw_bytes_per_s",
              "busbw_bytes_per_s", "wrong")

SCHEMA = results_file.SCHEMAS[-1]


def run(command, **environment):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment)


class Table(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, header, *rows):
        with (self.folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])

    def peer(self, number, dtype="fp32", seq=256, tp=2, both=4, name="dtensor"):
        rows = [["dtensor", plan, seq, dtype, 2, 5, time, "", "", 0] for plan, time in (("tp", tp), ("tp+sp", both))]
        self.write(f"round-{number}-{name}-{dtype}", PEER, *rows)

    def forward(self, number, backend, tp, both, dtype="fp32", seq=256, status="ok", header=FORWARD, schema=SCHEMA):
        rows = [[schema, "", status, "pass", plan, seq, dtype, backend, time, 0.9, 0.75][:len(header)]
                for plan, time in (("tp", tp), ("tp+sp", both))]
        self.write(f"round-{number}-tpsp-bench-{backend}-{dtype}", header, *rows)

    def peer_steps(self, number, tp, both, dtype="fp32", recompute="none", seq=256, name="dtensor"):
        rows = [["dtensor", plan, seq, dtype, 2, 5, time, saved, recompute, "none"]
                for plan, time, saved in (("tp", tp, 300e6), ("tp+sp", both, 240e6))]
        self.write(f"round-{number}-{name}-{recompute}-{dtype}", PEER_STEP, *rows)

    def steps(self, number, tp, both, dtype="fp32", recompute="none", seq=256, status="ok"):
        rows = [[SCHEMA, "", status, "off", "train", plan, seq, dtype, recompute, "shm", time, time / 3, time / 1.5, saved, limit]
                for plan, time, saved, limit in (("tp", tp, 150e6, 0.9), ("tp+sp", both, 90e6, 0.875))]
        self.write(f"round-{number}-tpsp-bench-{recompute}-{dtype}", STEP, *rows)

    def test_training_steps_are_set_against_the_better_one_of_the_peers_two(self):
        for number, (as_is, kept, ours) in enumerate(((8, 10, 4), (12, 6, 4), (8, 9, 6)), 1):
            self.peer_steps(number, as_is, 10)
            self.peer_steps(number, kept, 10, name="dtensor-kept")
            self.steps(number, ours, 5)
        self.assertEqual(self.line("tp", "256", "none"),
                         ["8.000", "s", "4.000", "s", "0.667", "(0.500..0.750)", "300.0", "MB", "150.0", "MB", "0.50", "0.90"])
        self.assertEqual(self.line("tp+sp", "256", "none")[-6:], ["240.0", "MB", "90.00", "MB", "0.38", "0.88"])

    def test_both_plans_of_a_training_step_are_compared_round_by_round(self):
        for number, ours in enumerate((4, 5), 1):
            self.peer_steps(number, 10, 9)
            self.steps(number, 4, ours)
        self.assertEqual(self.line("256", "none"), ["0.900", "1.125", "(1.000..1.250)", "0.80", "0.60"])

    def test_training_steps_of_both_dtypes_and_of_recomputed_blocks_have_lines(self):
        for dtype in ("bf16", "fp32"):
            for recompute in ("none", "block"):
                self.peer_steps(1, 2, 2, dtype, recompute)
                self.steps(1, 1, 1, dtype, recompute)
        lines = [line.split() for line in self.table().stdout.splitlines()]
        self.assertEqual([line[:3] for line in lines if line[:1] in (["tp"], ["tp+sp"])],
                         [[plan, "256", recompute] for recompute in ("none", "block") for plan in ("tp", "tp+sp")] * 2)
        titles = [line for line in self.table().stdout.splitlines() if line.startswith("A training step")]
        self.assertEqual([title.split(":")[0] for title in titles], ["A training step, fp32", "A training step, bf16"])

    def test_a_training_step_that_failed_is_named(self):
        self.peer_steps(1, 2, 2)
        self.steps(1, 1, 1, status="out_of_memory")
        self.assertIn("shm tp at seq 256: out_of_memory", self.table(4).stdout)

    def test_tables_of_training_steps_fit_120_columns(self):
        for number in (1, 2):
            self.peer_steps(number, 123.4567 * number, 0.1234567, seq=1024)
            self.steps(number, 100, 0.1 * number, seq=1024)
        lines = [line for line in self.table().stdout.splitlines() if not line.startswith("A ")]
        self.assertLessEqual(max(map(len, lines)), 120, lines)

    def collectives(self, number, times, wrong=0):
        rows = [[SCHEMA, "all-reduce", 8388608, "registered", backend, "fp32", 2, time, 1, 1, wrong] for backend, time in times.items()]
        self.write(f"round-{number}-comm", COLLECTIVE, *rows)

    def test_collectives_of_the_schema_before_are_read_under_the_names_of_today(self):
        header = ["placement" if name == "buffer" else name for name in COLLECTIVE]
        rows = [[SCHEMA - 1, "all-reduce", 8388608, "in", backend, "fp32", 2, time, 1, 1, 0]
                for backend, time in (("shm", 0.002), ("mpi", 0.004))]
        self.write("round-1-comm", header, *rows)
        self.assertEqual(self.line("all-reduce")[:2], ["8388608", "registered"])

    def table(self, code=0):
        result = run([sys.executable, PEERS / "table.py", self.folder])
        self.assertEqual(result.returncode, code, result.stdout + result.stderr)
        return result

    def line(self, *words):
        """The cells of the only line of the table that begins with these words."""
        lines = [line.split() for line in self.table().stdout.splitlines()]
        found = [line for line in lines if line[:len(words)] == list(words)]
        self.assertEqual(len(found), 1, lines)
        return found[0][len(words):]

    def test_ratios_are_taken_round_by_round(self):
        # Of all times the medians are 2 and 1.8: 0.9. By rounds it is 0.5, 0.8 and 0.9.
        for number, (theirs, ours) in enumerate(((4, 2), (2, 1.6), (2, 1.8)), 1):
            self.peer(number, tp=theirs, both=10)
            self.forward(number, "shm", ours, 10 + number)
        self.assertEqual(self.line("fp32", "256", "shm"),
                         ["1.800", "s", "0.800", "(0.500..0.900)", "12.00", "s", "1.200", "(1.100..1.300)",
                          "0.90/0.90", "0.75/0.75"])
        self.assertEqual(self.line("fp32", "256", "DTensor", "as", "is"),
                         ["2.000", "s", "1.000", "10.00", "s", "1.000", "-", "-"])

    def test_the_better_one_of_the_peers_two_counts_in_each_round(self):
        for number, (as_is, kept) in enumerate(((4, 5), (5, 4)), 1):
            self.peer(number, tp=as_is, both=8)
            self.peer(number, tp=kept, both=4, name="dtensor-kept")
            self.forward(number, "shm", 2, 2)
        self.assertEqual(self.line("fp32", "256", "shm")[2:6], ["0.500", "2.000", "s", "0.500"])
        self.assertEqual(self.line("fp32", "256", "DTensor", "as", "is")[2:4], ["1.125", "(1.000..1.250)"])

    def test_the_bare_products_have_a_line_and_do_not_count_as_a_forward(self):
        self.peer(1, tp=4)
        self.write("round-1-linear-fp32", PEER, ["linear", "tp", 256, "fp32", 2, 5, 3, "", "", ""])
        self.assertEqual(self.line("fp32", "256", "F.linear"), ["3.000", "s", "0.750", "-", "-"])

    def test_programs_and_lengths_have_an_order(self):
        for dtype in ("bf16", "fp32"):
            self.peer(1, dtype=dtype)
            for backend in ("gloo", "mpi", "shm"):
                self.forward(1, backend, 1, 2, dtype=dtype)
        cells = [line.split()[:3:2] for line in self.table().stdout.splitlines() if " 256 " in line]
        self.assertEqual(cells, [[dtype, program] for dtype in ("fp32", "bf16")
                                 for program in ("DTensor", "shm", "mpi", "gloo")])  # the peer's first word

    def test_results_without_fractions_have_no_columns_for_them(self):
        self.peer(1)
        self.forward(1, "mpi", 1, 2, header=FORWARD[:9])
        self.assertEqual(self.line("fp32", "256", "mpi")[-2:], ["s", "0.500"])
        self.assertNotIn("gemm", self.table().stdout)

    def test_a_program_that_was_not_run_leaves_no_line_and_a_round_without_the_peer_no_ratio(self):
        self.peer(1)
        self.forward(2, "mpi", 1, 2)
        self.assertEqual(self.line("fp32", "256", "mpi")[:3], ["1.000", "s", "-"])
        self.assertNotIn("shm", self.table().stdout)

    def test_collectives_are_set_against_shared_memory(self):
        self.collectives(1, {"gloo": 0.008, "mpi": 0.004, "shm": 0.002})
        self.collectives(2, {"gloo": 0.009, "mpi": 0.003, "shm": 0.003})
        self.assertEqual(self.line("all-reduce", "8388608", "registered"),
                         ["2.500", "ms", "3.500", "ms", "8.500", "ms", "1.50", "(1.00..2.00)", "3.50", "(3.00..4.00)"])
        self.assertIn("mpi/shm", self.table().stdout)

    def test_the_case_is_in_the_title(self):
        self.peer(1)
        header = (*FORWARD, "model", "layers", "batch", "world")
        self.write("round-1-tpsp-bench-shm-fp32", header,
                   [SCHEMA, "", "ok", "pass", "tp", 256, "fp32", "shm", 1, 0.9, 0.75, "llama-13b", 1, 4, 2])
        self.assertIn("A forward of llama-13b, layers 1, batch 4, 2 ranks: PyTorch's", self.table().stdout)

    def test_a_ratio_that_means_nothing_has_no_digits(self):
        self.assertEqual(table.ratio_text((12345.6, 12345.6, 12345.6), 2), "over 1000")

    def test_the_widest_table_fits_100_columns(self):
        for number in (1, 2):
            for dtype in ("fp32", "bf16"):
                self.peer(number, dtype=dtype, seq=1024, tp=123.4567, both=0.1234567)
                for backend in ("shm", "mpi", "gloo"):
                    self.forward(number, backend, 100 * number, 0.1, dtype=dtype, seq=1024)
            self.collectives(number, {"shm": 0.1234567, "mpi": 9.87654321 * number, "gloo": 9.1234})
        lines = self.table().stdout.splitlines()
        self.assertLessEqual(max(map(len, lines)), 100, lines)

    def test_the_same_numbers_are_left_as_markdown(self):
        self.peer(1)
        self.forward(1, "shm", 1, 2)
        self.collectives(1, {"shm": 0.002, "mpi": 0.004})
        self.table()
        page = (self.folder / "peers.md").read_text()
        self.assertIn("| fp32 | 256 | shm | 1.000 s | 0.500 |", page)
        self.assertIn("| all-reduce | 8388608 | registered | 2.000 ms | 4.000 ms | 2.00 |", page)

    def test_wrong_results_are_named_and_end_with_4(self):
        self.collectives(1, {"shm": 0.002}, wrong=3)
        self.assertIn("shm all-reduce of 8388608 bytes: 3 wrong values", self.table(4).stdout)
        self.peer(1)
        self.forward(1, "mpi", 1, 2, status="failed")
        self.assertIn("mpi tp at seq 256: failed", self.table(4).stdout)

    def test_no_results_and_damaged_ones_are_one_line(self):
        self.assertIn("no results", self.table(2).stderr)
        self.write("round-1-dtensor-fp32", PEER, ["dtensor", "tp", "many"])
        result = self.table(2)
        self.assertIn("round-1-dtensor-fp32.csv:2", result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)

    def test_rows_whose_columns_have_another_meaning_are_refused_in_one_line(self):
        self.forward(1, "shm", 1, 2, schema=SCHEMA + 1)
        result = self.table(2)
        self.assertIn(f"schema {SCHEMA + 1}, and this script knows {SCHEMA - 1} to {SCHEMA}", result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start_ranks(*arguments, **environment):
    mpirun = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "CUDA_VISIBLE_DEVICES": "",
              "OMP_NUM_THREADS": "1"}
    return run(["mpirun", "-n", "2", "--oversubscribe", sys.executable, *arguments], **mpirun, **environment)


SHAPES = ("--layers", "2", "--hidden", "64", "--ffn", "128", "--heads", "4", "--kv-heads", "2", "--vocab", "100", "--seq", "16")
# The plans on two ranks against the same model, unsharded.
AGAINST_UNSHARDED = f"""
import sys
sys.path.insert(0, {str(PEERS)!r})
sys.argv = ["peer", *{SHAPES!r}]
import dtensor_llama as peer, torch
from torch.distributed.device_mesh import init_device_mesh
options, device = peer.options(), peer.set_up_ranks()
mesh = init_device_mesh("cpu", (2,))
with torch.no_grad():
    unsharded = peer.Llama(options)
    peer.fill(unsharded, mesh, torch.float32, device, {{}})
    tokens = torch.arange(32).reshape(2, 16) * 37 % 100
    table = peer.rotary_table(16, 16, torch.float32, device)
    expected = unsharded(tokens, table)
    for plan, model in peer.make_models(options, mesh, torch.float32, device).items():
        error = (model(tokens, table) - expected).abs().max().item()
        peer.say(f"{{plan}} {{error < 1e-5 * expected.abs().max().item()}}")
peer.end_ranks()
peer.leave(0)
"""


class Peer(unittest.TestCase):
    def test_both_plans_give_the_logits_of_the_unsharded_model(self):
        result = start_ranks("-c", AGAINST_UNSHARDED, MASTER_PORT=str(free_port()))
        self.assertEqual(result.stdout.splitlines(), ["tp True", "tp+sp True"], result.stderr)

    def test_a_row_for_each_plan(self):
        result = start_ranks(PEERS / "dtensor_llama.py", *SHAPES, "--dtype", "bf16", "--reps", "6", "--min-time", "0",
                             MASTER_PORT=str(free_port()))
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = list(csv.DictReader(result.stdout.splitlines()))
        self.assertEqual([row["plan"] for row in rows], ["tp", "tp+sp"])
        for row in rows:
            self.assertEqual((row["peer"], row["seq"], row["dtype"], row["world"], row["reps"]),
                             ("dtensor", "16", "bf16", "2", "6"))
            low, median, high = (float(row[name]) for name in ("low_s", "median_s", "high_s"))
            self.assertTrue(0 < low <= median <= high, row)

    def test_queries_that_do_not_share_keys_evenly_are_refused(self):
        result = start_ranks(PEERS / "dtensor_llama.py", *SHAPES, "--heads", "8", "--kv-heads", "6", MASTER_PORT=str(free_port()))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("heads over kv heads", result.stderr)

    def test_the_products_alone_have_a_row_for_each_length(self):
        result = start_ranks(PEERS / "linear.py", "--layers", "1", "--hidden", "512", "--ffn", "1024", "--heads", "4",
                             "--kv-heads", "2", "--vocab", "1000", "--seq", "16,64", "--reps", "6", "--min-time", "0", MASTER_PORT=str(free_port()))
        self.assertEqual(result.returncode, 0, result.stderr)
        rows = list(csv.DictReader(result.stdout.splitlines()))
        self.assertEqual([(row["peer"], row["plan"], row["seq"]) for row in rows],
                         [("linear", "tp", "16"), ("linear", "tp", "64")])
        self.assertGreater(min(float(row["median_s"]) for row in rows), 0)

    def test_sizes_that_ranks_can_not_share_are_refused(self):
        result = start_ranks(PEERS / "dtensor_llama.py", "--seq", "3", MASTER_PORT=str(free_port()))
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("seq 3 can not be shared by 2 ranks", result.stderr)


# 2 layers of 4 heads; formula: what a layer saves of each of batch * seq = 32 tokens, in elements.
TRAIN = ("--hidden", "64", "--ffn", "128", "--heads", "4", "--vocab", "100", "--seq", "16", "--reps", "6", "--min-time", "0")
SAVED_BY_LAYER = {"tp": 6 * 64 + (4 * 64 + 4 * 128) // 2, "tp+sp": 2 * 64 + (8 * 64 + 4 * 128) // 2}
TOKENS = 32
ROOTS = {"tp": 2, "tp+sp": 1}  # fp32 numbers a token that a layer's two norms keep; and its attention one a head


class PeerTraining(unittest.TestCase):
    def start(self, *arguments, code=0):
        result = start_ranks(PEERS / "dtensor_train.py", *TRAIN, *arguments, MASTER_PORT=str(free_port()))
        self.assertEqual(result.returncode, code, result.stderr)
        return result, list(csv.DictReader(result.stdout.splitlines()))

    def test_gradients_are_those_of_the_unsharded_model(self):
        for recompute in ("none", "block"):
            _, rows = self.start("--check", "--kv-heads", "2", "--recompute", recompute)
            self.assertEqual([row["plan"] for row in rows], ["tp", "tp+sp"])
            for row in rows:
                self.assertLess(float(row["max_rel_err"]), 1e-5, row)

    def test_gradients_beyond_the_tolerance_end_with_1(self):
        result, _ = self.start("--check", "--tolerance", "1e-12", code=1)
        self.assertIn("a gradient is too far from the unsharded model's", result.stderr)

    def test_a_row_for_each_plan_with_its_parts_and_samples(self):
        _, rows = self.start("--dtype", "bf16", "--optimizer", "adamw", "--recompute", "block")
        self.assertEqual([row["plan"] for row in rows], ["tp", "tp+sp"])
        for row in rows:
            self.assertEqual((row["peer"], row["seq"], row["reps"], row["recompute"], row["optimizer"]),
                             ("dtensor", "16", "6", "block", "adamw"))
            for part in ("step", "forward", "backward", "optimizer"):
                samples = sorted(map(float, row[f"{part}_samples_s"].split(";")))
                self.assertEqual(len(samples), 6)
                self.assertTrue(0 < samples[2] <= float(row[f"{part}_s"]) <= samples[3], row)
            self.assertTrue(float(row["low_s"]) <= float(row["step_s"]) <= float(row["high_s"]), row)
        self.assertAlmostEqual(float(rows[0]["loss"]), float(rows[1]["loss"]), places=1)

    def test_a_layer_saves_what_the_formula_says(self):
        one, three = (self.start("--layers", str(layers), "--reps", "1")[1] for layers in (1, 3))
        for plan, less, more in zip(("tp", "tp+sp"), one, three):
            self.assertEqual((less["optimizer_s"], less["plan"], more["plan"]), ("", plan, plan))
            by_layer = (int(more["saved_bytes"]) - int(less["saved_bytes"])) // 2
            self.assertEqual(by_layer, 4 * TOKENS * (SAVED_BY_LAYER[plan] + ROOTS[plan] + 4 // 2), plan)

    def test_a_recomputed_block_saves_its_input(self):
        one, three = (self.start("--layers", str(layers), "--reps", "1", "--recompute", "block")[1] for layers in (1, 3))
        by_layer = [(int(more["saved_bytes"]) - int(less["saved_bytes"])) // 2 for less, more in zip(one, three)]
        self.assertEqual(by_layer, [4 * TOKENS * 64, 4 * TOKENS * 32])

    def test_a_length_that_ranks_can_not_share_is_refused_under_sp_alone(self):
        result, _ = self.start("--seq", "16,17", code=2)
        self.assertIn("2 ranks can not share 17", result.stderr)
        _, rows = self.start("--seq", "17", "--plans", "tp", "--reps", "1")
        self.assertEqual([(row["plan"], row["seq"]) for row in rows], [("tp", "17")])


if __name__ == "__main__":
    unittest.main()
