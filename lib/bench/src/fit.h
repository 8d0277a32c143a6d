// Will a case fit, before anything is made? An operating system that runs out of memory kills without a word.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "out_of_memory.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/machine/device.h"

namespace tpsp {

/// Bytes that one rank needs for its weights, and for making them.
std::int64_t resident_bytes(const Sweep& sweep, const LoweredPlan& plan);

/// Bytes that one rank needs beyond its weights for one case: the forward's peak, and the reference's with checks on.
std::int64_t working_bytes(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, int world);

/// Nothing when every rank has `bytes` of memory left; else what a skipped row says. Collective.
std::optional<std::string> lack_of_memory(std::int64_t bytes, const DeviceProbe& probe, World& world,
                                          std::string_view remedy = memory_remedy);

}  // namespace tpsp
