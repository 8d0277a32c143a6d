#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "bench_options.h"
#include "commands.h"
#include "export_case.h"
#include "measuring.h"
#include "output.h"
#include "provenance.h"
#include "stop_request.h"
#include "tpsp/bench/gemm_cache.h"
#include "tpsp/bench/machine_peaks.h"
#include "tpsp/bench/previews.h"
#include "tpsp/comm/gpus.h"
#include "tpsp/comm/mesh.h"
#include "tpsp/comm/null.h"
#include "tpsp/core/files.h"
#include "tpsp/core/log.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/binding.h"
#include "tpsp/machine/device.h"
#include "tpsp/models/export.h"

namespace tpsp {
namespace {

bool runs_one_alone(const BenchOptions& options) {
  return std::any_of(options.jobs.begin(), options.jobs.end(),
                     [](const auto& job) { return job.sweep.rank.has_value(); });
}

// One case, and a folder that can be made.
void check_export(const BenchOptions& options, const World& world) {
  if (!options.export_folder) return;
  std::size_t cases = 0;
  for (const auto& job : options.jobs) cases += job.sweep.plans.size() * job.sweep.seqs.size();
  if (runs_one_alone(options)) {
    throw bad_input({.where = "--export",
                     .what = "one rank alone has no results",
                     .remedy = "choose another backend than null, or leave it out"});
  }
  if (cases == 1 && options.resume) {
    throw bad_input({.where = "--export",
                     .what = "it does not go together with --resume",
                     .why = "a case that is there already is not computed",
                     .remedy = "leave one of them out"});
  }
  if (cases == 1) {
    if (world.rank() == 0) make_export_folder(*options.export_folder);
    return;
  }
  throw bad_input({.where = "--export " + *options.export_folder,
                   .what = fmt::format("there are {} cases", cases),
                   .why = "one model and one case's results are written",
                   .remedy = "give one plan and one length, such as --sp --seq 64"});
}

/// How a job's ranks are grouped, and what moves their data.
struct Layout {
  const Mesh& mesh;
  Backend of_tp;
  std::optional<Backend> of_dp;  ///< nothing where there is one replica
};

/// The meshes of a run, by the ranks of their tensor-parallel groups.
using Meshes = std::map<int, Mesh>;

// Of the ranks that run. Collective.
const Mesh& mesh_of(Meshes& meshes, const Sweep& sweep, World& world) {
  const auto tp = sweep.rank ? 1 : world.size() / sweep.replicas();
  return meshes.try_emplace(tp, world, tp).first->second;
}

Layout layout_of_one(const Sweep& sweep, const Mesh& mesh) {
  const auto tp = sweep.plans.front().world;
  Layout layout{.mesh = mesh, .of_tp = null_backend(*sweep.rank % tp, tp), .of_dp = std::nullopt};
  if (sweep.replicas() > 1) layout.of_dp = null_backend(*sweep.rank / tp, sweep.replicas());
  return layout;
}

// Collective.
Layout choose_layout(const std::vector<Backend>& backends, const BenchJob& job, const Mesh& mesh, World& world) {
  if (job.sweep.rank) return layout_of_one(job.sweep, mesh);
  const auto choose = [&](const World& group) {
    return agree_on_backend(backends, job.backend, group, world, job.sweep.device);
  };
  Layout layout{.mesh = mesh, .of_tp = choose(mesh.tp()), .of_dp = std::nullopt};
  if (job.sweep.replicas() > 1) layout.of_dp = choose(mesh.dp());
  return layout;
}

/// A job's process groups.
struct Transport {
  const Mesh& mesh;
  std::unique_ptr<ProcessGroup> tp;
  std::unique_ptr<ProcessGroup> dp;  ///< null where there is one replica

  Groups groups() const { return dp ? Groups(*tp, *dp, mesh) : Groups(*tp); }
};

// Collective.
Transport make_transport(const Layout& layout, at::Device device) {
  Transport transport{.mesh = layout.mesh, .tp = layout.of_tp.make(layout.mesh.tp(), device), .dp = nullptr};
  if (layout.of_dp) transport.dp = layout.of_dp->make(layout.mesh.dp(), device);
  return transport;
}

// Every plan's forward or training step without storage, once: its errors come before anything is made, its findings
// are reported.
void preview_plans(Sweep& sweep, const Layout& layout, spdlog::logger& log) {
  const bool replicas_share = layout.of_dp && layout.of_dp->shares_memory;
  sweep.previews = std::make_shared<Previews>(sweep.model, sweep.dtype, layout.of_tp.shares_memory, replicas_share);
  for (const auto& plan : sweep.plans) {
    for (const auto seq : sweep.seqs) {
      if (sweep.training) sweep.previews->of_step(plan, sweep.batch, seq, *sweep.training);
      const auto& found = sweep.previews->of(plan, sweep.batch_of_replica(), seq).findings;
      if (seq != sweep.seqs.front()) continue;
      for (const auto& finding : found) log.warn("{}", finding.text);
    }
  }
}

// Ranks that share a GPU, which NCCL does not serve. Collective.
void warn_of_staging(const BenchJob& job, const Layout& layout, World& world, spdlog::logger& log) {
  const bool stages = layout.of_tp.name == "mpi" || (layout.of_dp && layout.of_dp->name == "mpi");
  if (!job.sweep.device.is_cuda() || !stages || job.backend != "auto") return;
  const auto reason = shared_gpu(gpus_of_ranks(world, job.sweep.device));
  if (reason) log.warn("collectives go through host memory: {}; start as many ranks as there are GPUs", *reason);
}

// Of one case, to estimate how long the rest of a run takes: the GEMMs grow with both.
double work_of(const Sweep& sweep, std::int64_t seq) {
  return static_cast<double>(sweep.model->parameters()) * static_cast<double>(sweep.batch * seq);
}

OutputPlan output_plan(const BenchOptions& options) {
  OutputPlan plan{.outs = options.outs, .resume = options.resume};
  for (const auto& job : options.jobs) {
    const auto& sweep = job.sweep;
    const auto plans = sweep.plans.size();
    plan.rows += static_cast<int>(plans * sweep.seqs.size());
    for (const auto seq : sweep.seqs) plan.work += static_cast<double>(plans) * work_of(sweep, seq);
  }
  return plan;
}

// A file that nobody asked for does not keep a run from starting.
std::optional<GemmCache> gemm_cache(const BenchOptions& options, spdlog::logger& log) {
  if (!options.gemm_cache) return std::nullopt;
  if (options.gemm_cache != default_gemm_cache()) return GemmCache(*options.gemm_cache);
  try {
    return GemmCache(*options.gemm_cache);
  } catch (const Error& error) {
    log.warn("{}", error.what());
    return std::nullopt;
  }
}

// What a choice of kernels holds for.
std::string machine_of(const Sweep& sweep, World& world) {
  const auto names = world.exchange(cpu_name());
  const std::set<std::string> cpus(names.begin(), names.end());
  return fmt::format("{}, tpsp-bench {}, LibTorch {}, oneDNN {}, {} ranks with {} threads, {}, --gemm {}",
                     fmt::join(cpus, " and "), program_version(), TORCH_VERSION,
                     onednn_version().empty() ? "none" : onednn_version(), world.size(), sweep.threads,
                     c10::toString(sweep.dtype), to_string(sweep.gemm));
}

// Chooses the kernels, of what rank 0's cache knows as far as it does, and keeps what is new there. Collective.
void choose_kernels(Sweep& sweep, std::optional<GemmCache>& cache, World& world, spdlog::logger& log) {
  const auto longest = *std::max_element(sweep.seqs.begin(), sweep.seqs.end());
  const auto machine = machine_of(sweep, world);
  const auto kept = world.exchange(cache ? text_of(cache->of(machine)) : "").front();
  auto known = choices_in(kept);
  const auto parts = sweep.training ? sweep.training->micro_batches : 1;
  sweep.kernels = choose_kernels(sweep.gemm, sweep.plans, sweep.batch_of_replica() / parts * longest, sweep.dtype,
                                 sweep.device, world, known);
  const auto kernels =
      sweep.training ? plain_kernels(sweep.dtype, sweep.device) : packed_kernels(sweep.dtype, sweep.device);
  const bool several = sweep.gemm != GemmPolicy::plain && kernels.size() > 1;
  if (cache && several) sweep.kernels.set_file(cache->file().string());
  if (!cache || text_of(known) == kept) return;
  cache->of(machine) = known;
  try {
    cache->save();
  } catch (const Error& error) {
    log.warn("{}; kernels are chosen anew in every run", error.what());
  }
}

/// The peaks of a run's jobs, by what they depend on: the best that any of them has seen counts.
using KnownPeaks = std::map<std::string, std::shared_ptr<Peaks>>;

// Measures the peaks that rows are compared with, and chooses kernels, with the threads that the job will have.
// Collective.
void know_the_machine(BenchJob& job, KnownPeaks& known, std::optional<GemmCache>& cache, World& world,
                      spdlog::logger& log) {
  auto& sweep = job.sweep;
  choose_kernels(sweep, cache, world, log);
  if (sweep.kernels.untried() > 0) {
    log.warn("too little memory to try the kernels of {} GEMMs; each has the first that --gemm {} allows",
             sweep.kernels.untried(), to_string(sweep.gemm));
  }
  if (!job.peaks) return;
  auto& peaks = known[fmt::format("{} {} {} {}", c10::toString(sweep.dtype), sweep.device.str(), sweep.threads,
                                  sweep.provenance.cpus)];
  if (!peaks) peaks = std::make_shared<Peaks>();
  raise(*peaks, machine_peaks(sweep, world));
  sweep.peaks = peaks;
  log.info("each rank: GEMMs up to {:.0f} GFLOP/s ({}), memory {:.1f} GB/s", peaks->gemm_flops_per_s / 1e9,
           peaks->gemm_kernel, peaks->memory_bytes_per_s / 1e9);
}

// Of a run that stands still: several times the longest that a rank may take for one thing, a reference that it
// computes alone.
double timeout_s(const Sweep& sweep) {
  constexpr double times = 3;
  const double cautious_rate = sweep.device.is_cuda() ? 1e12 : 1e10;  // FLOP/s
  double flops = 0;
  for (const auto& plan : sweep.plans) {
    for (const auto seq : sweep.seqs) {
      const auto& one = sweep.previews->of(plan, sweep.batch_of_replica(), seq);
      flops = std::max(flops, plan.world * (one.product_flops + one.attention_flops));
    }
  }
  constexpr double passes_of_a_step = 3;
  if (sweep.training) flops *= passes_of_a_step;
  const double rate = sweep.peaks ? sweep.peaks->gemm_flops_per_s : cautious_rate;
  return std::max(shortest_timeout_s, times * flops / rate);
}

/// What a run of several sweeps shares.
struct Run {
  const BenchOptions& options;
  World& world;
  Output& output;
  Watchdog& watchdog;
  spdlog::logger& log;
  Known known;
  std::set<std::string> keys{};  ///< of the rows so far
  Trace trace{};
  TimeBreakdown breakdown{};
  ExitCode code = ExitCode::ok;
  bool measured = false;  ///< the last row was
  bool stopped = false;   ///< before its end, as it was asked to
};

// Entries of a suite may overlap: a run has one row of a case.
void warn_of_repeated_case(const Run& run, const Row& row) {
  if (!run.keys.contains(row.key)) return;
  run.log.warn("{} at seq {} is in the suite '{}' more than once; its first row counts", row.plan, row.seq, row.suite);
}

// Such a row is in no file, and still counts for the exit code.
void warn_of_unwritten_failure(const Run& run, const Row& row) {
  const bool is_written = !run.known.contains(row.key) && !run.keys.contains(row.key);
  if (is_written || worse(ExitCode::ok, row) == ExitCode::ok) return;
  run.log.warn("{} at seq {}, measured again, is not ok: {}; its earlier row stays in the files", row.plan, row.seq,
               row.message);
}

void run_job(Run& run, const BenchJob& job, const Groups& groups) {
  const auto on_row = [&](const Row& row) {
    warn_of_repeated_case(run, row);
    warn_of_unwritten_failure(run, row);
    agree(run.world, [&] {
      run.output.add(row, work_of(job.sweep, row.seq));
      if (run.options.trace && run.world.rank() == 0) write_file(*run.options.trace, run.trace.json());
    });
    run.keys.insert(row.key);
    run.code = worse(worse(run.code, row), run.known, row.key);
    run.measured = row.latency_s.has_value();
  };
  run_sweep(job.sweep, run.world, groups,
            {.row = on_row,
             .step =
                 [&](const Step& step) {
                   run.watchdog.set_phase(text_of(step));
                   run.output.step(step.what, step.phase, step.done);
                 },
             .is_done = [&](const std::string& key) { return run.known.contains(key) || run.keys.contains(key); },
             .left_out =
                 [&](const Row& row) {
                   warn_of_repeated_case(run, row);
                   run.code = worse(run.code, run.known, row.key);
                   run.output.leave_out(work_of(job.sweep, row.seq));
                 },
             .should_stop = [&] { return run.stopped = stop_is_asked(run.world); },
             .trace = run.options.trace ? &run.trace : nullptr,
             .breakdown = &run.breakdown});
}

void say_who_runs(const BenchOptions& options, const World& world, spdlog::logger& log) {
  if (world.size() > 1) return;
  log.info(runs_one_alone(options) ? "one rank alone: collectives move data inside it, and nothing is checked"
                                   : "one rank; start several with: mpirun -n 2 tpsp-bench");
}

void log_times_of_forwards(const TimeBreakdown& breakdown, double total_s, spdlog::logger& log) {
  const auto share = [&](double part_s) { return total_s > 0 ? 100 * part_s / total_s : 0; };
  const auto harness_s = total_s - breakdown.forwards_s - breakdown.profile_s - breakdown.check_s -
                         breakdown.weights_s - breakdown.machine_s;
  log.info(
      "{:.1f} s: forwards {:.1f}%, checks {:.1f}%, weights {:.1f}%, profiles {:.1f}%, peaks {:.1f}%, harness {:.1f}%",
      total_s, share(breakdown.forwards_s), share(breakdown.check_s), share(breakdown.weights_s),
      share(breakdown.profile_s), share(breakdown.machine_s), share(harness_s));
}

}  // namespace

ExitCode bench_command(const CommandLine& line, const Parts& parts, World& world, Watchdog& watchdog) {
  double total_s = 0;
  const auto log = make_logger(world.rank(), world.rank() == 0 ? log_level(line) : spdlog::level::off);
  const bool quiet = line.flags.contains("quiet");
  BenchOptions options;
  Meshes meshes;
  std::vector<Layout> layouts;
  std::optional<GemmCache> cache;  // rank 0's
  std::optional<Output> output;
  std::optional<Run> run;
  {
    const ScopedTimer total(total_s);
    agree(world, [&] {
      options = read_options(line, world, *log);
      check_export(options, world);
      if (world.rank() == 0) cache = gemm_cache(options, *log);
    });
    require_same(world, program_fact() + facts_of(options));
    watchdog.set_timeout(options.timeout_s.value_or(shortest_timeout_s));
    for (const auto& job : options.jobs) {
      layouts.push_back(choose_layout(parts.backends, job, mesh_of(meshes, job.sweep, world), world));
    }
    agree(world, [&] {
      for (std::size_t i = 0; i < layouts.size(); ++i) preview_plans(options.jobs[i].sweep, layouts[i], *log);
    });
    agree(world, [&] {
      output.emplace(output_plan(options), parts.columns, world, quiet, *log);
      if (options.trace && world.rank() == 0) write_file(*options.trace, Trace().json());
    });

    const auto provenance = provenance_of(line, world);
    agree(world, [&] { output->title(provenance); });
    say_who_runs(options, world, *log);
    run.emplace(Run{options, world, *output, watchdog, *log, known_to_rank_0(world, output->done())});
    RankBinder binder(world);
    KnownPeaks known_peaks;
    for (std::size_t i = 0; i < options.jobs.size(); ++i) {
      run->stopped = run->stopped || (i > 0 && stop_is_asked(world));
      if (run->stopped) break;
      auto& job = options.jobs[i];
      // Before the backend takes memory, which belongs to the cores that first touch it.
      const auto cores = binder.bind_ranks(job.bind);
      if (!cores.note.empty()) log->info("{}", cores.note);
      warn_of_staging(job, layouts[i], world, *log);
      if (!options.timeout_s) watchdog.set_timeout(timeout_s(job.sweep));
      watchdog.set_phase("process groups, kernels and peaks");
      const auto transport = make_transport(layouts[i], job.sweep.device);
      const Watchdog::Guard tp_is_watched(watchdog, *transport.tp);
      std::optional<Watchdog::Guard> dp_is_watched;
      if (transport.dp) dp_is_watched.emplace(watchdog, *transport.dp);
      job.sweep.provenance = provenance;
      job.sweep.provenance.suite = job.suite;
      job.sweep.provenance.device_name = device_name(job.sweep.device);
      job.sweep.backend = backend_of(transport.groups());
      job.sweep.threads = choose_threads(job.sweep.provenance, job.threads, cores, job.sweep.device, world, *log);
      {
        const ScopedTimer timer(run->breakdown.machine_s);
        know_the_machine(job, known_peaks, cache, world, *log);
      }
      if (!options.timeout_s) watchdog.set_timeout(timeout_s(job.sweep));
      run_job(*run, job, transport.groups());
      if (options.export_folder && run->measured) {
        export_case(*options.export_folder, job.sweep, world, transport.groups());
      }
    }
    agree(world, [&] { output->finish(); });
    if (run->stopped) run->code = worse(run->code, say_stopped(*log));
  }
  log_times_of_forwards(run->breakdown, total_s, *log);
  return run->code;
}

}  // namespace tpsp
