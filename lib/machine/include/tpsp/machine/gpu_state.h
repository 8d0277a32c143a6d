// What a GPU says of itself: its clock, power, temperature, and what holds its clock down.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/comm/world.h"

namespace tpsp {

/// At one moment. Empty where the driver does not report it.
struct GpuState {
  std::optional<double> clock_mhz{};  ///< of its multiprocessors
  std::optional<double> power_w{};
  std::optional<double> temperature_c{};
  std::uint64_t held_by = 0;  ///< bits of NVML's nvmlClocksEventReasons
};

/// Some states of a GPU put together.
struct GpuSummary {
  std::optional<double> clock_mhz{};  ///< median
  std::optional<double> lowest_clock_mhz{};
  std::optional<double> highest_clock_mhz{};
  std::optional<double> power_w{};        ///< mean
  std::optional<double> temperature_c{};  ///< highest
  std::uint64_t held_by = 0;              ///< in any of them
};
GpuSummary summarize(const std::vector<GpuState>& states);

/// Of the ranks' GPUs the lowest clock, the range of the one whose clock changed most, the highest power and
/// temperature, and all that holds any of them. The same on all ranks. Collective.
GpuSummary summarize_ranks(const GpuSummary& mine, World& world);

/// "power-cap;thermal" in words, separated by ;. Idling, a clock that was asked for (nvidia-smi --lock-gpu-clocks) and
/// the clocks of a display hold nothing down and have no word.
std::string held_by_words(std::uint64_t held_by);

/// What only a fault or bad cooling does: heat, or a power supply that brakes. The power limit is not among them, which
/// large GEMMs reach on a GPU that is well.
bool is_fault(std::uint64_t held_by);

}  // namespace tpsp
