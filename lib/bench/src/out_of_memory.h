#pragma once

#include <functional>
#include <string_view>

#include "tpsp/comm/world.h"

namespace tpsp {

/// What a user can do about it.
inline constexpr std::string_view memory_remedy = "use fewer layers, a smaller batch or seq, or more ranks";

/// Runs a `step` that makes no collective call, and says whether any rank ran out of memory in it. Collective.
bool any_runs_out_of_memory(World& world, const std::function<void()>& step);

/// Runs a `step` with collective calls, and says whether it ran out of memory. Among several ranks the others may be
/// waiting for this one: it throws.
bool runs_out_of_memory(const World& world, const std::function<void()>& step);

}  // namespace tpsp
