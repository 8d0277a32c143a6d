// Collectives that a plan could do without, as the events of a forward have shown them.
#pragma once

#include <vector>

#include "tpsp/parallel/events.h"
#include "tpsp/parallel/lowering.h"

namespace tpsp {

/// The event of the collective that gathered or reduced what `slice` keeps a part of; nothing where no collective did.
/// Adds and norms between the two do not count. `slice` is an event of `log`.
std::optional<EventId> gathered_for(const EventLog& log, EventId slice);

/// Values that a collective replicated and that were then sliced, where going straight to the shard would have moved
/// fewer bytes: all-reduce and slice is a reduce-scatter, gather and slice along one dimension is nothing. One finding
/// for each kind of module (the blocks are alike), with the rule that asks for it.
std::vector<Finding> find_detours(const EventLog& log, const LoweredPlan& plan);

}  // namespace tpsp
