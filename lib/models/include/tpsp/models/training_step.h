// A training step: forward, loss, backward and optimizer, in micro-batches.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "tpsp/models/architecture.h"
#include "tpsp/parallel/saved.h"
#include "tpsp/weights/adamw.h"
#include "tpsp/weights/data_parallel.h"
#include "tpsp/weights/gradients.h"

namespace tpsp {

/// What a step is asked to do.
struct StepSettings {
  SavedPolicy saved{};
  std::int64_t micro_batches = 1;  ///< equal parts of the batch, one after the other
  bool adamw = false;              ///< updates the weights, with PyTorch's defaults
  int dp = 1;                      ///< replicas of the plan's ranks, which share the batch
  ZeroStage shard = ZeroStage::none;
};

/// "recompute none, regather on, optimizer none, micro-batches 1, dp 1, shard none".
std::string to_string(const StepSettings& settings);

enum class StepPart {
  forward,    ///< up to the loss
  backward,   ///< up to the gradients that this rank has
  gradients,  ///< summing those that are partial over the ranks
  optimizer,  ///< and handing updated weights to other replicas
};
/// "forward", ...: also what the part is called in events.
std::string_view to_string(StepPart part);

/// Called when a part has ended; forward and backward once a micro-batch.
using StepListener = std::function<void(StepPart)>;

/// Of one rank.
struct StepResult {
  double loss = 0;                ///< mean over all tokens; the same on all ranks
  std::int64_t saved_bytes = 0;   ///< kept for the backward when a forward ends; the most of all micro-batches
  std::int64_t logits_bytes = 0;  ///< of these, the logits' gradient
};

/// What a step trains.
struct Trainee {
  const Model& model;
  TrainableWeights& weights;  ///< the model's
  Gradients& gradients;
  AdamW* optimizer = nullptr;              ///< without one the weights stay
  const DataParallel* replicas = nullptr;  ///< of which this is one
};

/// Tokens, and of each the one that is to follow: the text `[batch, seq + 1]` without its last and without its first.
Input training_input(const at::Tensor& text);

/// The sequences of `batch` that this replica takes, in memory of its own; all without replicas.
Input share_of(const Input& batch, const DataParallel* replicas);

/// One step on `batch`, `[sequences, seq]`: this replica's share, which the micro-batches share in turn. The gradients
/// are those of the mean loss of all replicas' tokens afterwards. Throws bad_input where the micro-batches do not
/// divide the sequences. Collective.
StepResult training_step(const Trainee& trainee, const Input& batch, const StepSettings& settings,
                         const Context& context, const StepListener& ended = {});

}  // namespace tpsp
