// Are the loss, the gradients and the updated weights right? A training step against an unsharded reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "tpsp/comm/world.h"
#include "tpsp/models/training_step.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

/// Over all ranks. Infinite where anything is not finite.
struct StepError {
  double loss = 0;     ///< |loss - reference| / |reference|
  double max_abs = 0;  ///< of all elements of all gradients
  /// The largest over all tensors of max|a - b| / max|b|, where max|b| counts as a thousandth of that of all tensors
  /// at least: for one token the gradient of queries and keys is rounding alone.
  double gradient = 0;
  std::string worst;   ///< the module with that gradient
  double weights = 0;  ///< likewise of the updated weights; 0 without an optimizer
};

/// What one rank has after a step.
struct CheckedStep {
  double loss = 0;
  const Gradients& gradients;
  const TrainableWeights* updated = nullptr;  ///< after the first step of StepReference::optimizer(); null without one
  const LoweredPlan& plan;
  int rank = 0;  ///< of the plan's
};

/// The largest `gradient`, `loss` and `weights` that are put down to rounding: twice `error_bound`, for the forward and
/// for the backward, which rounds as many values again.
double step_error_bound(const Architecture& model, std::int64_t seq, int ranks, at::ScalarType dtype);

/// `Architecture::reference_step` of the run's model and dtype, the sequences of the batch shared out over the ranks.
class StepReference {
 public:
  /// Computes at once. `batch` is `[batch, seq]` on the recipe's device. Collective.
  StepReference(const Architecture& model, const WeightRecipe& recipe, const Input& batch, World& world);

  /// AdamW whose first step shows errors of a gradient: by g / (|g| + eps) with eps the largest element of any gradient
  /// a weight moves in proportion to it, and not by its sign alone.
  AdamWOptions optimizer() const;

  /// Compares every element of every rank's gradients, padding too, and of its updated weights. What is divided over
  /// replicas is gathered by them first. Collective.
  StepError error(const CheckedStep& step, World& world) const;

 private:
  /// What one module's tensors differ by on this rank, and the reference's largest elements.
  struct Difference {
    double gradient = 0;
    double largest_gradient = 0;  ///< the same on all ranks
    double weights = 0;
    double largest_weight = 0;
  };

  Difference difference(const Module& module, const CheckedStep& step, World& world) const;

  WeightRecipe recipe_;
  ReferenceStep share_;  ///< of this rank's sequences; of these the loss and gradients of the mean over all tokens
  double loss_ = 0;      ///< of all
  double largest_ = 0;   ///< element of any rank's gradients
};

}  // namespace tpsp
