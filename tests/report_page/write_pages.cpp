// Writes the pages that test_page.py opens: write_report_pages FOLDER. Their rows are made up, the same each time.
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tpsp/report/html.h"
#include "tpsp/statistics/summary.h"

using namespace tpsp;

namespace {

struct Sweep {
  std::vector<std::string> plans{"tp", "tp+sp"};
  std::vector<std::int64_t> lengths{256, 512, 1024};
  std::vector<std::string> dtypes{"fp32", "bf16"};
  std::vector<int> worlds{2};
  double seconds_per_token = 7.7e-3;
  int reps = 12;
};

class Noise {
 public:
  /// About 1, within a hundredth or so, sometimes more.
  double next() { return 1 + 0.004 * normal_(bits_) + (bits_() % 17 == 0 ? 0.03 : 0); }

 private:
  std::mt19937 bits_{7};
  std::normal_distribution<double> normal_;
};

void describe_machine(Row& row) {
  row.host = "vm";
  row.device_name = "Intel(R) Xeon(R) Processor";
  row.cores = 2;
  row.memory_bytes = 16'734'441'472;
  row.os = "Debian GNU/Linux 12 (bookworm), Linux 6.1.0";
  row.version = "0.1.0";
  row.build = "g++ 12.2.0, Release, CUDA off";
  row.torch_version = "2.11.0";
  row.mpi_version = "Open MPI v4.1.4";
  row.command = "mpirun -n 2 build/tpsp-bench --seq 256,512,1024 --out results.jsonl";
  row.utc_time = "2026-11-22T16:07:47Z";
}

void describe_protocol(Row& row, int reps) {
  row.run_id = "20261122T160744Z-e09b";
  row.order = "random";
  row.turns = "all";
  row.case_id = row.model + std::to_string(row.layers) + row.dtype + std::to_string(row.world * 100 + row.batch) + "-" +
                std::to_string(row.seq);
  row.weights = "shared";
  row.warmup = 2;
  row.reps = reps;
  row.stop = "noise";
  row.plan_text = "# " + row.plan + "\nrules:\n  - {match: 'layers\\.\\d+\\.attention\\.wo', style: rowwise}\n";
}

void put_latency(Row& row, const std::vector<double>& samples) {
  const Summary summary = summarize(samples);
  row.samples_s = samples;
  row.rank_samples_s.assign(static_cast<std::size_t>(row.world), samples);
  row.latency_s = summary.median;
  if (summary.interval) {
    row.latency_low_s = summary.interval->low;
    row.latency_high_s = summary.interval->high;
  }
  row.latency_min_s = summary.min;
  row.latency_p10_s = summary.p10;
  row.latency_p90_s = summary.p90;
  row.latency_p99_s = summary.p99;
  row.latency_max_s = summary.max;
  row.latency_mad_s = summary.mad;
  row.latency_cv = summary.cv;
  row.tokens_per_s = static_cast<double>(row.batch * row.seq) / summary.median;
}

void split_time(Row& row, bool sharded) {
  const double total = 1.04 * *row.latency_s;
  row.split_s = total;
  row.gemm_s = 0.6 * total;
  row.attention_s = (0.05 + 5e-5 * static_cast<double>(row.seq)) * total;
  row.norm_s = (sharded ? 0.012 : 0.02) * total;
  row.wait_s = 0.03 * total;
  row.move_s = 0.05 * total;
  row.fused_add_norm_s = 0.01 * total;
  row.other_s =
      total - *row.gemm_s - *row.attention_s - *row.norm_s - *row.wait_s - *row.move_s - *row.fused_add_norm_s;
}

void put_memory(Row& row, bool sharded) {
  const std::int64_t tokens = row.batch * row.seq;
  row.weights_bytes = 2'667'741'184 / row.world;
  row.activations_bytes = tokens * (sharded ? 90'000 : 98'000);
  row.logits_bytes = tokens * 128'000 / row.world;
  row.collective_bytes = tokens * 16'384;
  row.resident_bytes = 1'048'576;
  row.allocated_bytes =
      row.weights_bytes + *row.activations_bytes + *row.logits_bytes + *row.collective_bytes + *row.resident_bytes;
  row.predicted_bytes = *row.allocated_bytes - 1'000'000;
  row.reserved_bytes = *row.allocated_bytes + 400'000'000;
  row.process_bytes = *row.allocated_bytes + 300'000'000;
  row.comm_bytes = tokens * 145'920;
}

Row made_up(const std::string& plan, std::int64_t seq, const std::string& dtype, int world, const Sweep& sweep,
            Noise& noise) {
  const bool sharded = plan.find("sp") != std::string::npos;
  Row row;
  row.key = "1f6c2a9be04d7731";
  row.model = "llama-7b";
  row.layers = 2;
  row.plan = plan;
  row.batch = 2;
  row.seq = row.seq_padded = seq;
  row.vocab_padded = 32'000;
  row.world = world;
  row.dtype = dtype;
  row.device = "cpu";
  row.backend = "mpi";
  const double middle = sweep.seconds_per_token * static_cast<double>(seq) * (dtype == "bf16" ? 0.6 : 1.0) *
                        (sharded && seq >= 1024 ? 1.02 : 1.0) / std::pow(world / 2.0, 0.9);
  std::vector<double> samples;
  for (int i = 0; i < sweep.reps; ++i) samples.push_back(middle * noise.next() * (1 + 0.001 * i));
  describe_machine(row);
  describe_protocol(row, sweep.reps);
  put_latency(row, samples);
  split_time(row, sharded);
  put_memory(row, sharded);
  row.check = Check::pass;
  row.max_abs_err = 4.76837158e-06;
  row.max_rel_err = 8.58157322e-07;
  row.error_bound = 3.2e-06;
  return row;
}

struct Step {
  std::string recompute;
  std::string regather = "on";
  std::string optimizer = "adamw";
  std::int64_t micro_batches = 1;
};

void put_step_times(Row& row, const Step& step, bool sharded) {
  const bool updates = step.optimizer == "adamw";
  const double slower = (step.recompute == "block"       ? 4
                         : step.recompute == "attention" ? 3.4
                                                         : 3.1) +
                        (updates ? 0.1 : 0) + (step.regather == "off" ? -0.05 : 0) +
                        0.03 * static_cast<double>(step.micro_batches);
  std::vector<double> samples = row.samples_s;
  for (double& sample : samples) sample *= slower;
  put_latency(row, samples);
  split_time(row, sharded);
  row.forward_s = 0.3 * *row.latency_s;
  row.backward_s = (step.recompute == "block" ? 0.66 : 0.6) * *row.latency_s;
  if (updates) row.optimizer_s = 0.02 * *row.latency_s;
}

void put_step_memory(Row& row, const Step& step, bool sharded) {
  const std::int64_t tokens = row.batch * row.seq / step.micro_batches;
  const std::int64_t kept = step.recompute == "none" ? 600'000 : step.recompute == "attention" ? 520'000 : 70'000;
  row.gradient_bytes = row.weights_bytes;
  row.optimizer_bytes = step.optimizer == "adamw" ? 2 * row.weights_bytes : 0;
  row.saved_at_peak_bytes = tokens * (sharded ? kept / 2 : kept);
  row.saved_bytes = *row.saved_at_peak_bytes + *row.logits_bytes;
  row.recomputed_bytes = step.recompute == "block" ? tokens * 210'000 : 0;
  *row.allocated_bytes += *row.gradient_bytes + *row.optimizer_bytes + *row.saved_at_peak_bytes + *row.recomputed_bytes;
  row.predicted_bytes = row.allocated_bytes;
}

// The row as one of a training step.
Row as_step(Row row, const Step& step) {
  row.workload = std::string("train");  // g++ 12 warns of the assignment of a literal
  row.recompute = step.recompute;
  row.regather = step.regather;
  row.optimizer = step.optimizer;
  row.micro_batches = step.micro_batches;
  row.case_id += "-" + step.recompute + step.regather + step.optimizer + std::to_string(step.micro_batches);
  const bool sharded = row.plan.find("sp") != std::string::npos;
  put_step_times(row, step, sharded);
  put_step_memory(row, step, sharded);
  row.loss = 10.4;
  return row;
}

std::vector<Row> as_steps(const std::vector<Row>& rows, const std::vector<Step>& steps) {
  std::vector<Row> result;
  for (const Step& step : steps) {
    for (const Row& row : rows) result.push_back(as_step(row, step));
  }
  return result;
}

std::vector<Row> made_up(const Sweep& sweep) {
  Noise noise;
  std::vector<Row> rows;
  for (const int world : sweep.worlds) {
    for (const std::string& dtype : sweep.dtypes) {
      for (const std::int64_t seq : sweep.lengths) {
        for (const std::string& plan : sweep.plans) rows.push_back(made_up(plan, seq, dtype, world, sweep, noise));
      }
    }
  }
  return rows;
}

std::vector<Row> usual() {
  std::vector<Row> rows = made_up(Sweep{});
  rows[5].warnings = {{"drifting", "the repetitions grow by 3% from the first to the last: let the machine cool down"}};
  rows[7].warnings = {{"throttled", "the processor was slowed down 12 times: use fewer cores or better cooling"}};
  return rows;
}

std::vector<Row> with_failures() {
  std::vector<Row> rows = made_up(Sweep{});
  rows[3].check = Check::fail;
  rows[3].max_rel_err = std::numeric_limits<double>::quiet_NaN();
  rows[3].message = "the largest error is not a number";
  Row failed;
  failed.status = Status::out_of_memory;
  failed.model = "llama-7b";
  failed.plan = "tp+sp";
  failed.seq = 2048;
  failed.batch = failed.layers = failed.world = 2;
  failed.dtype = "bf16";
  failed.device = "cpu";
  failed.backend = "mpi";
  failed.message = "needs 31.2 GB of memory on each rank, and 15.9 GB are free; use a smaller --seq or --batch";
  rows.push_back(failed);
  return rows;
}

// Collectives alone, together with forwards or not.
std::vector<Row> with_collectives(std::vector<Row> rows) {
  for (const char* backend : {"shm", "mpi"}) {
    for (const std::int64_t bytes : {std::int64_t{8} << 20, std::int64_t{32} << 20}) {
      Row row;
      row.collective = "all-reduce";
      row.message_bytes = bytes;
      row.buffer = std::string("registered");  // g++ 12 warns of the assignment of a literal
      row.case_id = std::to_string(bytes);
      row.world = 2;
      row.dtype = "fp32";
      row.device = "cpu";
      row.backend = backend;
      row.latency_s = static_cast<double>(bytes) / (row.backend == "shm" ? 9e9 : 2e9);
      row.samples_s = {*row.latency_s};
      row.busbw_bytes_per_s = static_cast<double>(bytes) / *row.latency_s;
      row.check = Check::pass;
      row.wrong = 0;
      rows.push_back(row);
    }
  }
  return rows;
}

std::vector<Row> without_details(std::vector<Row> rows) {
  for (Row& row : rows) {
    row.samples_s.clear();
    row.rank_samples_s.clear();
    row.plan_text.clear();
    row.split_s = row.gemm_s = row.attention_s = row.norm_s = row.wait_s = row.move_s = row.fused_add_norm_s =
        row.other_s = std::nullopt;
    row.activations_bytes = row.logits_bytes = row.collective_bytes = row.resident_bytes = std::nullopt;
    row.forward_s = row.backward_s = row.optimizer_s = std::nullopt;
    row.gradient_bytes = row.optimizer_bytes = row.saved_bytes = row.saved_at_peak_bytes = row.recomputed_bytes =
        std::nullopt;
  }
  return rows;
}

/// Text in every place that holds text, which would run as code or end the data if it were taken for markup.
std::vector<Row> hostile() {
  const std::string bait =
      "</script><script>document.documentElement.dataset.errors='run'</script><!--<script> <img src=x "
      "onerror=\"document.documentElement.dataset.errors='run'\"> \u2028\u2029 &lt;b&gt; ]]> ' \" \\ \xff";
  Sweep sweep;
  sweep.plans = {"tp", "<b>" + bait};
  std::vector<Row> rows = made_up(sweep);
  for (Row& row : rows) {
    row.plan_text = row.device_name = row.host = row.command = row.message = bait;
    row.seed = std::numeric_limits<std::uint64_t>::max();
    row.warnings = {{bait, bait}};
  }
  return rows;
}

Sweep many() {
  Sweep sweep;
  sweep.plans = {"tp", "tp+sp", "my-own-folder/only-the-feed-forward-parallel.yaml",
                 "my-own-folder/only-the-attention-parallel-and-nothing-else.yaml"};
  sweep.lengths = {128, 256, 512, 1024, 2048, 4096};
  sweep.worlds = {2, 4};
  return sweep;
}

Sweep tiny() {
  Sweep sweep;
  sweep.lengths = {1, 2, 3, 100, 101, 102, 103};
  sweep.seconds_per_token = 3e-9;
  sweep.reps = 200;
  return sweep;
}

// A run of tp+sp alone on a slower day, and one of both plans, appended to the same file.
std::vector<Row> two_runs() {
  Sweep sweep;
  sweep.dtypes = {"fp32"};
  std::vector<Row> both = made_up(sweep);
  std::vector<Row> rows;
  for (Row row : both) {
    if (row.plan != "tp+sp") continue;
    row.run_id = "20261122T130000Z-0001";
    std::vector<double> samples = row.samples_s;
    for (double& sample : samples) sample *= 1.5;
    put_latency(row, samples);
    rows.push_back(row);
  }
  rows.insert(rows.end(), both.begin(), both.end());
  return rows;
}

// As if each plan were a run of its own.
std::vector<Row> across_runs() {
  Sweep sweep;
  sweep.dtypes = {"fp32"};
  std::vector<Row> rows = made_up(sweep);
  for (Row& row : rows) row.run_id += row.plan;
  return rows;
}

Sweep in_fp32() {
  Sweep sweep;
  sweep.dtypes = {"fp32"};
  return sweep;
}

// Lengths far apart, and plans with long names.
Sweep far_apart() {
  Sweep sweep = many();
  sweep.dtypes = {"bf16"};
  sweep.worlds = {2};
  return sweep;
}

// Forwards beside steps that differ in all that is said only where they do.
std::vector<Row> steps_and_forwards() {
  std::vector<Row> rows = made_up(in_fp32());
  for (Row& row : rows) {
    row.allocated_bytes = *row.allocated_bytes - *row.resident_bytes;
    row.resident_bytes = 0;
  }
  const std::vector<Step> steps = {
      {"none", "on", "none", 1}, {"none", "off", "none", 1}, {"none", "on", "adamw", 1}, {"none", "on", "none", 2}};
  const std::vector<Row> of_steps = as_steps(rows, steps);
  rows.insert(rows.end(), of_steps.begin(), of_steps.end());
  return rows;
}

std::vector<Row> with_usual_steps(std::vector<Row> rows) {
  const std::vector<Row> of_steps = as_steps(rows, {{"block", "on", "none", 1}});
  rows.insert(rows.end(), of_steps.begin(), of_steps.end());
  return rows;
}

Sweep single() {
  Sweep sweep;
  sweep.plans = {"tp"};
  sweep.lengths = {256};
  sweep.dtypes = {"fp32"};
  sweep.reps = 1;
  return sweep;
}

void write(const std::filesystem::path& folder, const std::string& name, const std::vector<Row>& rows) {
  std::ofstream(folder / (name + ".html"), std::ios::binary) << html_report(rows, standard_columns());
  std::cout << name << ' ' << rows.size() << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = std::span(argv, static_cast<std::size_t>(argc))[1];
  write(folder, "usual", usual());
  write(folder, "failures", with_failures());
  write(folder, "no-details", without_details(usual()));
  write(folder, "hostile", hostile());
  write(folder, "many", made_up(many()));
  write(folder, "tiny", made_up(tiny()));
  write(folder, "single", made_up(single()));
  write(folder, "collectives", with_collectives(usual()));
  write(folder, "collectives-only", with_collectives({}));
  write(folder, "two-runs", two_runs());
  write(folder, "across-runs", across_runs());
  write(folder, "steps", as_steps(made_up(in_fp32()), {{"none"}, {"attention"}, {"block"}}));
  write(folder, "steps-and-forwards", steps_and_forwards());
  write(folder, "steps-usual", with_usual_steps(made_up(in_fp32())));
  write(folder, "steps-far-apart", as_steps(made_up(far_apart()), {{"block"}}));
  write(folder, "steps-no-details", without_details(as_steps(made_up(in_fp32()), {{"block"}})));
  write(folder, "empty", {});
}
