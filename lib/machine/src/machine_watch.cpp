#include "tpsp/machine/machine_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "machine_counters.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr double tick_s = 0.01;  // what /proc/stat counts in

// What all ranks of a host saw between their two readings.
struct HostChange {
  std::string host;
  double elapsed_s = 0;
  std::map<std::string, double> own_s;  // by process: ranks that are threads share one
  std::map<int, CoreTimes> cores;
  double clock_before_ghz = 1;
  double clock_after_ghz = 1;
  std::int64_t throttles = 0;
  double throttled_s = 0;
  std::int64_t swapped_bytes = 0;
};

double own_s(const HostChange& change) {
  double sum = 0;
  for (const auto& [process, seconds] : change.own_s) sum += seconds;
  return sum;
}

double total_s(const HostChange& change, double CoreTimes::*part) {
  double sum = 0;
  for (const auto& [core, times] : change.cores) sum += times.*part;
  return sum;
}

// A core's times are rounded down to full ticks.
double rounding_s(const HostChange& change) { return tick_s * static_cast<double>(change.cores.size()); }

double clock_change(const HostChange& change) {
  const auto [low, high] = std::minmax(change.clock_before_ghz, change.clock_after_ghz);
  return high / low - 1;
}

HostChange change_between(const std::string& host, const MachineCounters& before, const MachineCounters& after) {
  HostChange change;
  change.host = host;
  change.elapsed_s = after.uptime_s - before.uptime_s;
  change.own_s[after.process] = after.own_s - before.own_s;
  for (const auto& [core, times] : after.cores) {
    const auto earlier = before.cores.find(core);
    if (earlier == before.cores.end()) continue;
    change.cores[core] = {.busy_s = times.busy_s - earlier->second.busy_s,
                          .stolen_s = times.stolen_s - earlier->second.stolen_s};
  }
  if (before.clock_ghz && after.clock_ghz) {
    change.clock_before_ghz = *before.clock_ghz;
    change.clock_after_ghz = *after.clock_ghz;
  }
  change.throttles = after.throttles - before.throttles;
  change.throttled_s = after.throttled_s - before.throttled_s;
  change.swapped_bytes = after.swapped_bytes - before.swapped_bytes;
  return change;
}

void to_json(nlohmann::json& json, const HostChange& change) {
  json = {{"host", change.host},
          {"elapsed_s", change.elapsed_s},
          {"own_s", change.own_s},
          {"clock", {change.clock_before_ghz, change.clock_after_ghz}},
          {"throttles", change.throttles},
          {"throttled_s", change.throttled_s},
          {"swapped_bytes", change.swapped_bytes},
          {"cores", nlohmann::json::array()}};
  for (const auto& [core, times] : change.cores) json["cores"].push_back({core, times.busy_s, times.stolen_s});
}

void from_json(const nlohmann::json& json, HostChange& change) {
  json.at("host").get_to(change.host);
  json.at("elapsed_s").get_to(change.elapsed_s);
  json.at("own_s").get_to(change.own_s);
  json.at("clock").at(0).get_to(change.clock_before_ghz);
  json.at("clock").at(1).get_to(change.clock_after_ghz);
  json.at("throttles").get_to(change.throttles);
  json.at("throttled_s").get_to(change.throttled_s);
  json.at("swapped_bytes").get_to(change.swapped_bytes);
  for (const auto& core : json.at("cores")) change.cores[core[0]] = {.busy_s = core[1], .stolen_s = core[2]};
}

// Ranks do not begin and end at the same moment. A core counts with the least time that a rank saw, so that one rank's
// own work before another begins is not counted as other load.
void add(HostChange& host, const HostChange& rank) {
  host.elapsed_s = std::max(host.elapsed_s, rank.elapsed_s);
  host.own_s.insert(rank.own_s.begin(), rank.own_s.end());
  for (const auto& [core, times] : rank.cores) {
    auto& known = host.cores.try_emplace(core, times).first->second;
    known.busy_s = std::min(known.busy_s, times.busy_s);
    known.stolen_s = std::min(known.stolen_s, times.stolen_s);
  }
  if (clock_change(rank) > clock_change(host)) {
    host.clock_before_ghz = rank.clock_before_ghz;
    host.clock_after_ghz = rank.clock_after_ghz;
  }
  host.throttles = std::max(host.throttles, rank.throttles);
  host.throttled_s = std::max(host.throttled_s, rank.throttled_s);
  host.swapped_bytes = std::max(host.swapped_bytes, rank.swapped_bytes);
}

std::vector<HostChange> changes_by_host(const std::vector<std::string>& texts) {
  std::map<std::string, HostChange> hosts;
  for (const auto& text : texts) {
    const auto rank = nlohmann::json::parse(text).get<HostChange>();
    const auto [place, is_new] = hosts.try_emplace(rank.host, rank);
    if (!is_new) add(place->second, rank);
  }
  std::vector<HostChange> changes;
  changes.reserve(hosts.size());
  for (const auto& [name, change] : hosts) changes.push_back(change);
  return changes;
}

// One kind of disturbance: its size on a host, 0 below the threshold, and the text of its warning.
struct Disturbance {
  const char* flag;
  double (*size)(const HostChange&);
  std::string (*text)(const HostChange&);
};

double stolen_share(const HostChange& change) {
  const double stolen = total_s(change, &CoreTimes::stolen_s);
  const double possible = change.elapsed_s * static_cast<double>(change.cores.size());
  return possible > 0 && stolen > 2.5 * tick_s && stolen > 0.01 * possible ? stolen / possible : 0;
}

double other_cores(const HostChange& change) {
  const double others = total_s(change, &CoreTimes::busy_s) - own_s(change);
  const bool counts = others > 0.05 * change.elapsed_s && others > std::max(0.1, rounding_s(change));
  return change.elapsed_s > 0 && counts ? others / change.elapsed_s : 0;
}

constexpr auto disturbances = std::to_array<Disturbance>({
    {"steal", stolen_share,
     [](const HostChange& change) {
       return fmt::format(
           "a hypervisor took {:.1f}% of the cores' time; use a machine that is not shared, or measure "
           "at a quieter time",
           100 * stolen_share(change));
     }},
    {"other-load", other_cores,
     [](const HostChange& change) {
       return fmt::format("other programs used {:.2g} cores; close them, or measure at a quieter time",
                          other_cores(change));
     }},
    {"frequency", [](const HostChange& change) { return clock_change(change) > 0.05 ? clock_change(change) : 0; },
     [](const HostChange& change) {
       return fmt::format(
           "a rank's core went from {:.2f} to {:.2f} GHz; fix the clock (cpupower frequency-set -g performance, no "
           "turbo)",
           change.clock_before_ghz, change.clock_after_ghz);
     }},
    {"throttled", [](const HostChange& change) { return static_cast<double>(change.throttles); },
     [](const HostChange& change) {
       return fmt::format(
           "the CPU limit of its control group stopped the ranks {} times, for {} in all; raise the "
           "limit, or use fewer ranks or threads",
           change.throttles, human_seconds(change.throttled_s));
     }},
    {"swap",
     [](const HostChange& change) {
       constexpr std::int64_t mebibyte = 1 << 20;
       return change.swapped_bytes > mebibyte ? static_cast<double>(change.swapped_bytes) : 0;
     },
     [](const HostChange& change) {
       return fmt::format("{} went to swap or came from it; free memory, or measure a smaller case",
                          human_bytes(change.swapped_bytes));
     }},
});

std::vector<Warning> warnings_of(const std::vector<HostChange>& hosts) {
  std::vector<Warning> warnings;
  for (const auto& [flag, size, text] : disturbances) {
    const auto& worst = *std::max_element(hosts.begin(), hosts.end(),
                                          [size = size](const auto& a, const auto& b) { return size(a) < size(b); });
    if (size(worst) > 0) warnings.push_back({flag, fmt::format("host {}: {}", worst.host, text(worst))});
  }
  return warnings;
}

}  // namespace

void MachineWatch::begin() { before_ = std::make_shared<const MachineCounters>(read_counters(root_)); }

std::vector<Warning> MachineWatch::end(World& world) {
  const auto after = read_counters(root_);
  const nlohmann::json change = change_between(host_in(root_), before_ ? *before_ : after, after);
  return warnings_of(
      changes_by_host(world.exchange(change.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))));
}

}  // namespace tpsp
