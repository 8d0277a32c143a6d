// What a training step under a plan will do, before it is done: the same step on tensors without storage.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "tpsp/bench/preview.h"
#include "tpsp/models/training_step.h"

namespace tpsp {

/// Of one rank, in one step. What is sent to other replicas is in `replicas` alone.
struct StepPreview {
  std::int64_t weights_bytes = 0;
  std::int64_t gradient_bytes = 0;
  std::int64_t optimizer_bytes = 0;
  std::int64_t saved_bytes = 0;   ///< what a forward has kept for the backward when it ends, the logits' gradient too
  std::int64_t logits_bytes = 0;  ///< of saved_bytes, the logits' gradient
  std::int64_t peak_bytes = 0;    ///< at the step's peak, everything but weights, gradients, optimizer and tokens
  MemorySplit peak{};             ///< everything at that peak, by use
  double product_flops = 0;       ///< of rank 0's GEMMs with weights and their gradients, with what is computed again
  CommCounts forward{};           ///< up to the loss
  CommCounts backward{};
  CommCounts gradients{};       ///< the sum of gradients that are partial over the ranks
  CommCounts replicas{};        ///< over the replicas: gradients, weights and the loss
  ArenaSizes arena{};           ///< what ProcessGroup::reserve needs
  ArenaSizes replicas_arena{};  ///< likewise of the replicas' process group
};

/// Runs the step of rank 0 on meta tensors with process groups that move nothing, for its part of the `batch`, which
/// all replicas share. Needs neither MPI, GPU nor weights. Throws what the real step would throw.
StepPreview preview_step(const Architecture& model, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                         c10::ScalarType dtype, const StepSettings& step = {}, const PreviewSettings& settings = {});

}  // namespace tpsp
