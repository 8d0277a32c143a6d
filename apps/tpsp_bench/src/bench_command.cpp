#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <optional>

#include "bench_options.h"
#include "commands.h"
#include "cores.h"
#include "provenance.h"
#include "terminal.h"
#include "tpsp/bench/device.h"
#include "tpsp/bench/preview.h"
#include "tpsp/core/log.h"
#include "tpsp/model/export.h"
#include "tpsp/model/llama.h"
#include "tpsp/report/csv.h"
#include "tpsp/report/table.h"

namespace tpsp {
namespace {

// One case, and a folder that can be made.
void check_export(const BenchOptions& options, const World& world) {
  if (!options.export_folder) return;
  if (options.sweep.plans.size() == 1 && options.sweep.seqs.size() == 1) {
    if (world.rank() == 0) make_export_folder(*options.export_folder);
    return;
  }
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
    if (!table_) return;
    table_->row(row);
    check_stdout();
  }

  void title(const std::string& line) {
    if (!table_) return;
    table_->title({line});
    check_stdout();
  }

 private:
  static void check_stdout() {
    if (std::cout) return;
    throw Error(ExitCode::output_failed, {.where = "stdout",
                                          .what = "the table can not be written",
                                          .why = errno == 0 ? "" : std::strerror(errno),
                                          .remedy = "make room where it is sent to, or use --quiet"});
  }

  bool first_rank_;
  std::optional<CsvResults> file_;
  std::optional<TablePrinter> table_;
};

// Two ranks with a GPU each, where each sees only its own, look like two ranks on one GPU; that is slow and worth a
// word.
void warn_of_staging(const BenchOptions& options, const Parts& parts, const Backend& chosen, const World& world,
                     spdlog::logger& log) {
  if (!options.sweep.device.is_cuda() || chosen.name != "mpi" || options.backend != "auto") return;
  for (const auto& backend : parts.backends) {
    const auto reason = backend.name == "nccl" ? backend.refusal(world, options.sweep.device) : std::nullopt;
    if (reason) log.warn("collectives go through host memory: {}; let every rank see all GPUs of the host", *reason);
  }
}

void choose_threads(BenchOptions& options, World& world, spdlog::logger& log) {
  const auto cores = count_cores(world);
  const int threads = options.threads.value_or(cores.mine);
  options.sweep.prototype.threads = threads;
  at::set_num_threads(threads);
  if (!options.threads && options.sweep.device.is_cpu() && threads * world.local_size() * 2 <= cores.host) {
    log.warn("{} ranks with {} threads each leave most of {} processors idle; bind them wider (mpirun --bind-to none)",
             world.local_size(), threads, cores.host);
  }
}

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
    check_export(options, world);
  });
  agree(world, [&] { preview_plans(options.sweep, *log); });
  agree(world, [&] { backend = choose_backend(parts.backends, options.backend, world, options.sweep.device); });
  require_same(world, facts_of(options, backend));
  warn_of_staging(options, parts, backend, world, *log);
  agree(world, [&] { output.emplace(options, parts, world, line.flags.contains("quiet")); });

  const auto comm = backend.make(world, options.sweep.device);
  auto& prototype = options.sweep.prototype;
  choose_threads(options, world, *log);
  prototype.backend = comm->backend();
  prototype.device_name = device_name(options.sweep.device);
  add_provenance(prototype, world);
  agree(world, [&] {
    output->title(fmt::format("tpsp-bench {} · run {} · rows in {}", prototype.version, prototype.run_id, options.out));
  });
  if (world.size() == 1) log->info("one rank; start several with: mpirun -n 2 tpsp-bench");

  auto code = ExitCode::ok;
  bool measured = false;
  run_sweep(options.sweep, world, *comm, [&](const Row& row) {
    agree(world, [&] { output->add(row); });
    code = worse(code, row);
    measured = row.latency_s.has_value();
  });
  if (options.export_folder && measured) export_case(options, world, *comm);
  return code;
}

}  // namespace tpsp
