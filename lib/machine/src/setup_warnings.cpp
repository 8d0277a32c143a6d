#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "machine_counters.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/machine_watch.h"

namespace tpsp {
namespace {

using Cores = std::set<int>;

struct RankSetup {
  Cores cores;  // that it may run on
  int threads = 1;
};

struct HostSetup {
  std::string name;
  std::size_t online_cores = 0;
  std::vector<RankSetup> ranks;
};

// Of some ranks of a host and the cores that none of them can leave.
struct Demand {
  std::size_t ranks = 0;
  int threads = 0;
  Cores cores;

  double per_core() const { return static_cast<double>(threads) / static_cast<double>(cores.size()); }
};

std::string encode(const std::filesystem::path& root, int threads) {
  const nlohmann::json facts = {{"host", host_in(root)},
                                {"online_cores", online_cores(root).size()},
                                {"cores", allowed_cores(root)},
                                {"threads", threads}};
  return facts.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<HostSetup> setups_by_host(const std::vector<std::string>& texts) {
  std::map<std::string, HostSetup> hosts;
  for (const auto& text : texts) {
    const auto facts = nlohmann::json::parse(text);
    auto& host = hosts[facts.at("host").get<std::string>()];
    facts.at("host").get_to(host.name);
    facts.at("online_cores").get_to(host.online_cores);
    host.ranks.push_back({.cores = facts.at("cores").get<Cores>(), .threads = facts.at("threads").get<int>()});
  }
  std::vector<HostSetup> setups;
  setups.reserve(hosts.size());
  for (const auto& [name, setup] : hosts) setups.push_back(setup);
  return setups;
}

Demand demand_within(const HostSetup& host, const Cores& cores) {
  Demand demand{.ranks = 0, .threads = 0, .cores = cores};
  for (const auto& rank : host.ranks) {
    if (!std::includes(cores.begin(), cores.end(), rank.cores.begin(), rank.cores.end())) continue;
    ++demand.ranks;
    demand.threads += rank.threads;
  }
  return demand;
}

// Within each rank's cores, and within those of all ranks.
std::vector<Demand> demands_on(const HostSetup& host) {
  std::set<Cores> sets;
  Cores together;
  for (const auto& rank : host.ranks) {
    sets.insert(rank.cores);
    together.insert(rank.cores.begin(), rank.cores.end());
  }
  sets.insert(together);
  std::vector<Demand> demands;
  if (sets.contains({})) return demands;  // a system that does not report cores
  for (const auto& cores : sets) demands.push_back(demand_within(host, cores));
  return demands;
}

bool is_shared_core(const HostSetup& host, const Demand& demand) {
  return demand.cores.size() == 1 && demand.ranks > 1 && host.online_cores != 1;
}

// The worst demand of a kind over the hosts.
struct Worst {
  std::string host;
  Demand demand;

  void consider(const HostSetup& candidate, const Demand& other) {
    if (!host.empty() && other.per_core() <= demand.per_core()) return;
    host = candidate.name;
    demand = other;
  }
};

std::string oversubscribed_text(const Worst& worst) {
  return fmt::format(
      "host {}: {} with {} threads in all may run on {} only; use fewer ranks or a smaller --threads, "
      "or let them run on more cores (mpirun --bind-to none)",
      worst.host, counted(static_cast<std::int64_t>(worst.demand.ranks), "rank"), worst.demand.threads,
      counted(static_cast<std::int64_t>(worst.demand.cores.size()), "core"));
}

std::string shared_core_text(const Worst& worst) {
  return fmt::format(
      "host {}: {} ranks are bound to core {} alone; give each a core of its own (mpirun --map-by core "
      "--bind-to core)",
      worst.host, worst.demand.ranks, *worst.demand.cores.begin());
}

std::vector<Warning> core_warnings(const std::vector<HostSetup>& hosts) {
  Worst oversubscribed;
  Worst shared;
  for (const auto& host : hosts) {
    const auto demands = demands_on(host);
    const bool shares =
        std::any_of(demands.begin(), demands.end(), [&](const auto& d) { return is_shared_core(host, d); });
    for (const auto& demand : demands) {
      if (is_shared_core(host, demand)) shared.consider(host, demand);
      // Ranks that share one core have too few cores because of that.
      if (!shares && demand.per_core() > 1) oversubscribed.consider(host, demand);
    }
  }
  std::vector<Warning> warnings;
  if (!oversubscribed.host.empty()) warnings.push_back({"oversubscribed", oversubscribed_text(oversubscribed)});
  if (!shared.host.empty()) warnings.push_back({"shared-core", shared_core_text(shared)});
  return warnings;
}

constexpr bool has_assertions() {
#ifdef NDEBUG
  return false;
#else
  return true;
#endif
}

constexpr bool is_optimised() {
#ifdef __OPTIMIZE__
  return true;
#else
  return false;
#endif
}

std::vector<Warning> build_warnings() {
  if (is_optimised() && !has_assertions()) return {};
  const char* const found = is_optimised()     ? "assertions are on"
                            : has_assertions() ? "assertions are on and optimisation is off"
                                               : "optimisation is off";
  return {{"debug-build", fmt::format("in this build {}; measure with a Release build", found)}};
}

}  // namespace

std::vector<Warning> setup_warnings(World& world, int threads, const std::filesystem::path& root) {
  auto warnings = core_warnings(setups_by_host(world.exchange(encode(root, threads))));
  for (auto& warning : build_warnings()) warnings.push_back(std::move(warning));
  return warnings;
}

}  // namespace tpsp
