#include "measuring.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>

#include "tpsp/core/text.h"
#include "tpsp/machine/machine_watch.h"

namespace tpsp {

int choose_threads(Provenance& run, std::optional<int> asked, const RankCores& cores, c10::Device device, World& world,
                   spdlog::logger& log) {
  const int threads = asked.value_or(cores.mine);
  const auto of_ranks = exchange_numbers(world, {static_cast<double>(threads)});
  const auto of_rank_0 = static_cast<int>(of_ranks.front().front());  // the same row on all ranks
  run.cores = cores.host;
  run.binding = cores.by;
  run.cpus = cores.cpus;
  if (std::any_of(of_ranks.begin(), of_ranks.end(), [&](const auto& one) { return one != of_ranks.front(); })) {
    log.warn("the ranks have different numbers of threads; rows say rank 0's, {}", of_rank_0);
  }
  at::set_num_threads(threads);
  const auto warnings = setup_warnings(world, device.is_cpu() ? threads : 1);
  run.warnings.insert(run.warnings.end(), warnings.begin(), warnings.end());
  const bool bound_before = cores.by == to_string(Binding::launcher);
  if (bound_before && !asked && device.is_cpu() && threads * world.local_size() * 2 <= cores.host) {
    log.warn("{} ranks with {} threads each leave most of {} processors idle; bind them wider (mpirun --bind-to none)",
             world.local_size(), threads, cores.host);
  }
  return of_rank_0;
}

ExitCode worse(ExitCode a, ExitCode b) { return std::max(a, b); }

ExitCode worse(ExitCode code, const Row& row) {
  if (row.check == Check::fail) return worse(code, ExitCode::check_failed);
  return worse(code, row.status == Status::ok ? ExitCode::ok : ExitCode::rows_not_ok);
}

spdlog::level::level_enum log_level(const CommandLine& line) {
  if (line.flags.contains("quiet")) return spdlog::level::err;
  return line.flags.contains("verbose") ? spdlog::level::debug : spdlog::level::info;
}

Known known_to_rank_0(World& world, const std::vector<Row>& rows) {
  std::string mine;
  for (const auto& row : rows) {
    mine += fmt::format("{} {}\n", row.key, static_cast<int>(worse(ExitCode::ok, row)));
  }
  Known known;
  for (const auto& line : split(world.exchange(mine).front(), '\n')) {
    const auto words = split(line, ' ');
    if (words.size() == 2) known[words[0]] = static_cast<ExitCode>(words[1].front() - '0');
  }
  return known;
}

ExitCode worse(ExitCode code, const Known& known, const std::string& key) {
  const auto found = known.find(key);
  return found == known.end() ? code : worse(code, found->second);
}

}  // namespace tpsp
