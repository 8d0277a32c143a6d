// What a training step under a plan will do, before it is done: the same step on tensors without storage.
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

#include "tpsp/models/architecture.h"
#include "tpsp/parallel/events.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/saved.h"
#include "tpsp/weights/data_parallel.h"

namespace tpsp {

struct StepSettings {
  SavedPolicy saved{};
  bool adamw = false;                 ///< AdamW's moments are there too, and master copies of weights that are not fp32
  int dp = 1;                         ///< replicas of the plan's ranks
  ZeroStage shard = ZeroStage::none;  ///< what is divided over them
};

/// Of one rank, in one step of one micro-batch. What is sent to other replicas is in `replicas` alone.
struct StepPreview {
  std::int64_t weights_bytes = 0;
  std::int64_t gradient_bytes = 0;
  std::int64_t optimizer_bytes = 0;
  std::int64_t saved_bytes = 0;   ///< what the forward has kept for the backward when it ends, the logits' gradient too
  std::int64_t logits_bytes = 0;  ///< of saved_bytes, the logits' gradient
  std::int64_t peak_bytes = 0;    ///< at the step's peak, everything but weights, gradients, optimizer and tokens
  CommCounts forward{};           ///< up to the loss
  CommCounts backward{};
  CommCounts gradients{};  ///< the sum of gradients that are partial over the ranks
  CommCounts replicas{};   ///< over the replicas: gradients, weights and the loss
};

/// Runs the step of rank 0 on meta tensors with process groups that move nothing, for its part of the `batch`, which
/// all replicas share. Needs neither MPI, GPU nor weights. Throws what the real step would throw. Scratch inside
/// LibTorch's backward of attention is not in the peak.
StepPreview preview_step(const Architecture& model, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq,
                         c10::ScalarType dtype, const StepSettings& settings = {});

}  // namespace tpsp
