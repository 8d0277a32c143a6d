#pragma once

#include <functional>
#include <string_view>

#include "tpsp/bench/protocol.h"
#include "tpsp/bench/sweep.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// What a user can do about it.
inline constexpr std::string_view memory_remedy = "use fewer layers, a smaller batch or seq, or more ranks";

/// Runs a `step` that makes no collective call, and says whether any rank ran out of memory in it. Collective.
bool any_runs_out_of_memory(World& world, const std::function<void()>& step);

/// `work`, which a rank leaves with Interrupted where it runs out of memory, and then all others do; as it is where the
/// process groups can not be interrupted.
Workload interruptible(Workload work, const Groups& groups);

/// Runs a `step` with collective calls, and says whether it ran out of memory. Among several ranks it throws, since the
/// others may be waiting for this one, but for an AgreedInterruption, which all have left it with.
bool runs_out_of_memory(const World& world, const std::function<void()>& step);

}  // namespace tpsp
