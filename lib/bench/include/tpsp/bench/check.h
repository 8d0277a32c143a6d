// Are the numbers right? Logits against an unsharded reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "tpsp/comm/world.h"
#include "tpsp/model/config.h"
#include "tpsp/model/weights.h"

namespace tpsp {

/// The largest error over all ranks' parts of the batch.
struct LogitsError {
  double max_abs = 0;
  double max_rel = 0;  ///< max|a - b| / max|b|; infinite when anything is not finite
};

/// fp32 1e-4, bf16 3e-2.
double error_bound(at::ScalarType dtype);

/// The plan of the unsharded model: no rules, one rank.
LoweredPlan reference_plan(const ModelConfig& config);

/// Sequences of the batch that each rank checks, at most.
std::int64_t reference_share(std::int64_t batch, int ranks);

/// The unsharded model's logits for this rank's part of the batch, made with one layer's weights in memory at a time,
/// in the run's own dtype. Ranks beyond the batch have no part.
class Reference {
 public:
  /// Computes at once. `tokens` is `[batch, seq]` on the recipe's device.
  Reference(const ModelConfig& config, const WeightRecipe& recipe, const at::Tensor& tokens, const World& world);

  /// Compares whole logits `[batch, seq, vocabulary]`. Collective.
  LogitsError error(const at::Tensor& logits, World& world) const;

 private:
  std::int64_t first_ = 0;  ///< of the batch
  std::int64_t count_ = 0;
  at::Tensor logits_;
};

}  // namespace tpsp
