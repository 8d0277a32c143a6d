#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tpsp/parallel/lowering.h"

namespace tpsp {

/// For each module, the indices of the rules that match its whole name, in the plan's order.
using Matches = std::vector<std::vector<std::size_t>>;
Matches match_rules(const Plan& plan, const std::vector<Module>& modules);

/// "attention.wq" for "layers.3.attention.wq": what is said of one layer is said of all.
std::string without_layer_number(std::string name);

/// What names and layouts alone show to be odd. Layout costs that depend on the forward pass: see find_detours.
std::vector<Finding> lint(const Plan& plan, const LoweredPlan& lowered, const Matches& matches);

}  // namespace tpsp
