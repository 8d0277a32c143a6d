#pragma once

#include <cstddef>
#include <vector>

#include "tpsp/parallel/lowering.h"

namespace tpsp {

/// For each module, the indices of the rules that match its whole name, in the plan's order.
using Matches = std::vector<std::vector<std::size_t>>;
Matches match_rules(const Plan& plan, const std::vector<Module>& modules);

/// What names and placements alone show to be odd. Placement costs that depend on the forward pass: see find_detours.
std::vector<Finding> lint(const Plan& plan, const LoweredPlan& lowered, const Matches& matches);

}  // namespace tpsp
