// A run's only case as files.
#pragma once

#include <filesystem>

#include "tpsp/bench/sweep.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// Runs the forward or the training step of `sweep`'s first plan and length once more, and writes model, logits and, of
/// a step, targets, loss and gradients to the folder. Throws what they throw. Collective.
void export_case(const std::filesystem::path& folder, const Sweep& sweep, World& world, const Groups& groups);

}  // namespace tpsp
