#include "tpsp/machine/gpu_state.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <string_view>

#include "tpsp/statistics/summary.h"

namespace tpsp {
namespace {

/// A bit of nvmlClocksEventReasons.
struct Reason {
  std::uint64_t bit;
  std::string_view word;
  bool fault;
};

constexpr auto reasons = std::to_array<Reason>({
    {.bit = 0x04, .word = "power-cap", .fault = false},
    {.bit = 0x08, .word = "slowdown", .fault = true},
    {.bit = 0x10, .word = "sync-boost", .fault = false},
    {.bit = 0x20, .word = "thermal", .fault = true},
    {.bit = 0x40, .word = "thermal-hardware", .fault = true},
    {.bit = 0x80, .word = "power-brake", .fault = true},
});

std::vector<double> known(const std::vector<GpuState>& states, std::optional<double> GpuState::*field) {
  std::vector<double> values;
  for (const auto& state : states) {
    if (state.*field) values.push_back(*(state.*field));
  }
  return values;
}

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

/// The least or the largest of those that are known.
template <typename Better>
std::optional<double> best(const std::vector<std::vector<double>>& ranks, std::size_t column, Better better) {
  std::optional<double> found;
  for (const auto& rank : ranks) {
    const double value = rank.at(column);
    if (!std::isnan(value) && (!found || better(value, *found))) found = value;
  }
  return found;
}

}  // namespace

GpuSummary summarize(const std::vector<GpuState>& states) {
  GpuSummary summary;
  if (const auto clocks = known(states, &GpuState::clock_mhz); !clocks.empty()) {
    const auto [low, high] = std::minmax_element(clocks.begin(), clocks.end());
    summary.clock_mhz = median(clocks);
    summary.lowest_clock_mhz = *low;
    summary.highest_clock_mhz = *high;
  }
  if (const auto power = known(states, &GpuState::power_w); !power.empty()) {
    summary.power_w = std::accumulate(power.begin(), power.end(), 0.0) / static_cast<double>(power.size());
  }
  if (const auto degrees = known(states, &GpuState::temperature_c); !degrees.empty()) {
    summary.temperature_c = *std::max_element(degrees.begin(), degrees.end());
  }
  for (const auto& state : states) summary.held_by |= state.held_by;
  return summary;
}

GpuSummary summarize_ranks(const GpuSummary& mine, World& world) {
  const auto all = exchange_numbers(world, {mine.clock_mhz.value_or(unknown), mine.lowest_clock_mhz.value_or(unknown),
                                            mine.highest_clock_mhz.value_or(unknown), mine.power_w.value_or(unknown),
                                            mine.temperature_c.value_or(unknown), static_cast<double>(mine.held_by)});
  GpuSummary summary{.clock_mhz = best(all, 0, std::less<>()),
                     .power_w = best(all, 3, std::greater<>()),
                     .temperature_c = best(all, 4, std::greater<>())};
  double change = 0;
  for (const auto& rank : all) {
    summary.held_by |= static_cast<std::uint64_t>(rank.at(5));
    if (!(rank.at(2) / rank.at(1) > change)) continue;  // nor where it is not known
    change = rank.at(2) / rank.at(1);
    summary.lowest_clock_mhz = rank.at(1);
    summary.highest_clock_mhz = rank.at(2);
  }
  return summary;
}

std::string held_by_words(std::uint64_t held_by) {
  std::string words;
  for (const auto& reason : reasons) {
    if ((held_by & reason.bit) != 0) words.append(words.empty() ? "" : ";").append(reason.word);
  }
  return words;
}

bool is_fault(std::uint64_t held_by) {
  return std::any_of(reasons.begin(), reasons.end(),
                     [&](const Reason& reason) { return reason.fault && (held_by & reason.bit) != 0; });
}

}  // namespace tpsp
