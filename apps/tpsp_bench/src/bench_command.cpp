#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <iostream>
#include <optional>

#include "choices.h"
#include "commands.h"
#include "cores.h"
#include "provenance.h"
#include "terminal.h"
#include "tpsp/bench/preview.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/core/log.h"
#include "tpsp/model/export.h"
#include "tpsp/model/llama.h"
#include "tpsp/report/csv.h"
#include "tpsp/report/table.h"

namespace tpsp {
namespace {

struct BenchOptions {
  Sweep sweep;
  std::string backend;
  std::string out;
  std::optional<std::string> export_folder;
};

BenchOptions read_options(const CommandLine& line, const World& world, spdlog::logger& log) {
  const Settings settings(line);
  for (const auto& [name, setting] : settings.all()) log.debug("{} is {} ({})", name, setting.text, setting.where);
  const bool allow_unused = line.flags.contains("allow-unused-rules");
  BenchOptions options;
  auto& sweep = options.sweep;
  sweep.model = model_setting(settings);
  sweep.plans = plan_setting(settings, sweep.model, world.size(), allow_unused);
  sweep.seqs = seq_setting(settings);
  sweep.batch = batch_setting(settings);
  sweep.dtype = dtype_setting(settings);
  sweep.device = choose_device(settings.at("device").text, world);
  sweep.protocol.warmup = static_cast<int>(integer_setting(settings, "warmup", 0, 10'000));
  sweep.protocol.reps = static_cast<int>(integer_setting(settings, "reps", 1, 1'000'000));
  sweep.check = choice_setting(settings, "check", {"on", "off"}) == "on";
  sweep.seed = static_cast<std::uint64_t>(integer_setting(settings, "seed", 0, INT64_MAX));
  sweep.prototype.threads = settings.has("threads") ? static_cast<int>(integer_setting(settings, "threads", 1, 4096))
                                                    : default_threads(world);
  sweep.prototype.dtype = settings.at("dtype").text;
  sweep.prototype.device = sweep.device.is_cuda() ? "cuda" : "cpu";
  options.backend = settings.at("backend").text;
  options.out = settings.at("out").text;
  if (settings.has("export")) options.export_folder = settings.at("export").text;
  return options;
}

void check_export(const BenchOptions& options) {
  if (!options.export_folder) return;
  if (options.sweep.plans.size() == 1 && options.sweep.seqs.size() == 1) return;
  throw bad_input({.where = "--export " + *options.export_folder,
                   .what = fmt::format("there are {} cases", options.sweep.plans.size() * options.sweep.seqs.size()),
                   .why = "one model and one case's logits are written",
                   .remedy = "give one plan and one length, such as --sp --seq 64"});
}

// Every plan's forward without storage, once: its errors come before anything is made, its findings are told.
void preview_plans(const Sweep& sweep, spdlog::logger& log) {
  for (const auto& plan : sweep.plans) {
    for (const auto seq : sweep.seqs) {
      const auto found = preview(sweep.model, plan, sweep.batch, seq, sweep.dtype).findings;
      if (seq != sweep.seqs.front()) continue;
      for (const auto& finding : found) log.warn("{}", finding.text);
    }
  }
}

void export_case(const BenchOptions& options, World& world, Communicator& comm) {
  const auto& sweep = options.sweep;
  const WeightRecipe recipe{.seed = sweep.seed, .dtype = sweep.dtype, .device = sweep.device};
  const auto tokens = make_tokens(sweep.seed, sweep.batch, sweep.seqs.front(), sweep.model.vocabulary);
  const c10::InferenceMode no_gradients;
  const ResidentWeights weights(sweep.plans.front(), world.rank(), recipe);
  const Llama model(sweep.model, sweep.plans.front(), weights, {.comm = comm});
  const auto logits = model.logits(tokens.to(sweep.device));
  agree(world, [&] {
    if (world.rank() != 0) return;
    export_model(*options.export_folder, sweep.model, recipe);
    export_io(*options.export_folder, tokens, logits);
  });
}

/// Where rows go: the file on rank 0, and a table on its terminal.
class Output {
 public:
  Output(const BenchOptions& options, const Parts& parts, const World& world, bool quiet)
      : first_rank_(world.rank() == 0) {
    if (!first_rank_) return;
    file_.emplace(options.out, parts.columns);
    if (!quiet) table_.emplace(std::cout, wants_color());
  }

  void add(const Row& row) {
    if (!first_rank_) return;
    file_->add(row);
    if (table_) table_->row(row);
  }

 private:
  bool first_rank_;
  std::optional<CsvResults> file_;
  std::optional<TablePrinter> table_;
};

ExitCode worse(ExitCode code, const Row& row) {
  if (row.check == Check::fail || code == ExitCode::check_failed) return ExitCode::check_failed;
  return row.status == Status::ok ? code : ExitCode::rows_not_ok;
}

spdlog::level::level_enum log_level(const CommandLine& line) {
  if (line.flags.contains("quiet")) return spdlog::level::err;
  return line.flags.contains("verbose") ? spdlog::level::debug : spdlog::level::info;
}

}  // namespace

ExitCode bench_command(const CommandLine& line, const Parts& parts, World& world) {
  const auto log = make_logger(world.rank(), world.rank() == 0 ? log_level(line) : spdlog::level::off);
  BenchOptions options;
  Backend backend;
  std::optional<Output> output;
  agree(world, [&] {
    options = read_options(line, world, *log);
    check_export(options);
  });
  agree(world, [&] { preview_plans(options.sweep, *log); });
  agree(world, [&] { backend = choose_backend(parts.backends, options.backend, world, options.sweep.device); });
  agree(world, [&] { output.emplace(options, parts, world, line.flags.contains("quiet")); });

  const auto comm = backend.make(world, options.sweep.device);
  at::set_num_threads(options.sweep.prototype.threads);
  options.sweep.prototype.backend = comm->backend();
  add_provenance(options.sweep.prototype, world);
  if (world.size() == 1) log->info("one rank; start several with: mpirun -n 2 tpsp-bench");
  if (options.export_folder) export_case(options, world, *comm);

  auto code = ExitCode::ok;
  run_sweep(options.sweep, world, *comm, [&](const Row& row) {
    agree(world, [&] { output->add(row); });
    code = worse(code, row);
  });
  log->info("rows are in {}", options.out);
  return code;
}

}  // namespace tpsp
