// A run's only case as files.
#pragma once

#include "bench_options.h"
#include "tpsp/comm/process_group.h"
#include "tpsp/comm/world.h"
#include "tpsp/models/architecture.h"
#include "tpsp/parallel/saved.h"

namespace tpsp {

/// Runs the case's forward once more and writes model and logits to the folder. Throws what they throw. Collective.
void export_case(const BenchOptions& options, World& world, ProcessGroup& comm);

/// The same of a training step of `input`, on any device: one step of the mean loss from the weights of the seed,
/// whatever steps were made before, and its gradients, too.
void export_training_case(const BenchOptions& options, const Input& input, const SavedPolicy& policy, World& world,
                          ProcessGroup& comm);

}  // namespace tpsp
