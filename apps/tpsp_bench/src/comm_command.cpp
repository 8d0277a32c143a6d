#include <fmt/format.h>

#include <list>
#include <memory>
#include <optional>

#include "comm_options.h"
#include "commands.h"
#include "measuring.h"
#include "output.h"
#include "provenance.h"
#include "stop_request.h"
#include "tpsp/comm/gpus.h"
#include "tpsp/core/log.h"
#include "tpsp/machine/binding.h"
#include "tpsp/machine/device.h"

namespace tpsp {
namespace {

void log_times_of_collectives(const TimeBreakdown& breakdown, double total_s, spdlog::logger& log) {
  const auto share = [&](double part_s) { return total_s > 0 ? 100 * part_s / total_s : 0; };
  log.info("{:.1f} s: collectives {:.1f}%, checks {:.1f}%, harness {:.1f}%", total_s, share(breakdown.forwards_s),
           share(breakdown.check_s), share(total_s - breakdown.forwards_s - breakdown.check_s));
}

}  // namespace

ExitCode comm_command(const CommandLine& line, const Parts& parts, World& world, Watchdog& watchdog) {
  double total_s = 0;
  TimeBreakdown breakdown;
  auto code = ExitCode::ok;
  const auto log = make_logger(world.rank(), world.rank() == 0 ? log_level(line) : spdlog::level::off);
  {
    const ScopedTimer total(total_s);
    CommOptions options;
    std::vector<Backend> backends;
    agree(world, [&] { options = read_comm_options(line, world, *log); });
    watchdog.set_timeout(options.timeout_s.value_or(shortest_timeout_s));
    const auto shared = shared_gpu(gpus_of_ranks(world, options.sweep.device));
    agree(world,
          [&] { backends = choose_backends(parts.backends, options.backends, world, options.sweep.device, shared); });
    require_same(world, program_fact() + facts_of(options, backends));
    const auto cases = comm_cases(options.sweep, world.size());
    const auto rows = static_cast<int>(cases * static_cast<std::int64_t>(backends.size()));
    const OutputPlan plan{
        .outs = options.outs, .resume = options.resume, .rows = rows, .work = static_cast<double>(rows)};
    std::optional<Output> output;
    agree(world, [&] { output.emplace(plan, parts.columns, world, line.flags.contains("quiet"), *log); });
    auto& run = options.sweep.provenance;
    run = provenance_of(line, world);
    agree(world, [&] { output->title(run); });
    if (world.size() == 1) log->info("one rank; start several with: mpirun -n 2 tpsp-bench comm");
    const auto known = known_to_rank_0(world, output->done());

    RankBinder binder(world);
    const auto cores = binder.bind_ranks(options.bind);  // before a backend takes memory, which belongs to cores
    if (!cores.note.empty()) log->info("{}", cores.note);
    std::vector<std::unique_ptr<ProcessGroup>> owned;
    std::vector<ProcessGroup*> comms;
    std::list<Watchdog::Guard> watched;
    for (const auto& backend : backends) {
      owned.push_back(backend.make(world, options.sweep.device));
      comms.push_back(owned.back().get());
      watched.emplace_back(watchdog, *owned.back());
    }
    run.device_name = device_name(options.sweep.device);
    options.sweep.threads = choose_threads(run, options.threads, cores, options.sweep.device, world, *log);
    bool stopped = false;
    const auto on_row = [&](const Row& row) {
      agree(world, [&] { output->add(row, 1); });
      code = worse(worse(code, row), known, row.key);
    };
    run_comm_sweep(options.sweep, world, comms,
                   {.row = on_row,
                    .step =
                        [&](const Step& step) {
                          watchdog.set_phase(text_of(step));
                          output->step(step.what, step.phase, step.done);
                        },
                    .is_done = [&](const std::string& key) { return known.contains(key); },
                    .left_out =
                        [&](const Row& row) {
                          code = worse(code, known, row.key);
                          output->leave_out(1);
                        },
                    .should_stop = [&] { return stopped = stop_is_asked(world); },
                    .breakdown = &breakdown});
    agree(world, [&] { output->finish(); });
    if (stopped) code = worse(code, say_stopped(*log));
  }
  log_times_of_collectives(breakdown, total_s, *log);
  return code;
}

}  // namespace tpsp
