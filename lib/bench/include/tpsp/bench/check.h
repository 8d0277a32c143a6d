// Are the numbers right? Logits against an unsharded reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "tpsp/comm/world.h"
#include "tpsp/model/config.h"
#include "tpsp/model/weights.h"

namespace tpsp {

/// The largest error over all ranks' copies of all logits.
struct LogitsError {
  double max_abs = 0;
  double max_rel = 0;  ///< max|a - b| / max|b|; infinite when anything is not finite
};

/// fp32 1e-4, bf16 3e-2.
double error_bound(at::ScalarType dtype);

/// The plan of the unsharded model: no rules, one rank.
LoweredPlan reference_plan(const ModelConfig& config);

/// Sequences of the batch that each rank computes the reference of, at most.
std::int64_t reference_share(std::int64_t batch, int ranks);

/// `reference_logits` of the run's model and dtype, the sequences of the batch shared out over the ranks. Ranks beyond
/// the batch compute none.
class Reference {
 public:
  /// Computes at once. `tokens` is `[batch, seq]` on the recipe's device.
  Reference(const ModelConfig& config, const WeightRecipe& recipe, const at::Tensor& tokens, const World& world);

  /// Compares every element of every rank's `logits`, `[batch, seq, vocabulary]` replicated on each. Collective.
  LogitsError error(const at::Tensor& logits, World& world) const;

 private:
  double difference_of_rows(const at::Tensor& logits, std::int64_t index, std::int64_t begin, std::int64_t count,
                            World& world) const;

  std::int64_t share_;  ///< sequences of each rank, fewer of the last
  at::Tensor logits_;   ///< of this rank's sequences; undefined for none
};

}  // namespace tpsp
