// Collectives that a plan could do without, as the forward pass has shown them.
#pragma once

#include <vector>

#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"

namespace tpsp {

/// Values that a collective made whole and that were then cut again, where going straight to the cut would have moved
/// fewer bytes: all-reduce and slice is a reduce-scatter, gather and slice along one dimension is nothing. One finding
/// for each kind of module (the layers are alike), with the rule that asks for it.
std::vector<Finding> find_detours(const TransitionLog& log, const LoweredPlan& plan);

}  // namespace tpsp
