// Are the numbers right? Logits against an unsharded reference.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/models/architecture.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

/// The largest error over all ranks' copies of all logits.
struct LogitsError {
  double max_abs = 0;
  double max_rel = 0;  ///< max|a - b| / max|b|; infinite when anything is not finite
};

/// The largest `max_rel` that is put down to rounding, twice the root mean square of what rounding makes of it:
///
///     2 sqrt(2 (2L + 1)) sqrt((5 + t) u^2 / 3 + (b + n / b) u32^2 / 6)
///
/// Rounding errors are taken as independent with mean zero, so they grow with the square root of their number (Higham
/// and Mary, SIAM J. Sci. Comput. 41(5), 2019). Two computations of 2L sublayers and a head each round 6 values in a
/// row to the dtype (unit roundoff u), t - 1 of t ranks' sums too, and sum up to n terms (the longest of hidden, ffn
/// and seq) in fp32, in blocks of b = 384 as GEMMs do (Goto and van de Geijn, ACM TOMS 34(3), 2008).
double error_bound(const Architecture& model, std::int64_t seq, int ranks, at::ScalarType dtype);

/// Changes whenever a passed check says something else than before: rows of another version are not resumed.
inline constexpr int check_version = 2;

/// The plan of the unsharded model: no rules, one rank.
LoweredPlan reference_plan(const Architecture& model);

/// Sequences of the batch that each rank computes the reference of, at most.
std::int64_t reference_share(std::int64_t batch, int ranks);

/// `reference_logits` of the run's model and dtype, the sequences of the batch shared out over the ranks. Ranks beyond
/// the batch compute none.
class Reference {
 public:
  /// Computes at once. `tokens` is `[batch, seq]` on the recipe's device.
  Reference(const Architecture& model, const WeightRecipe& recipe, const at::Tensor& tokens, const World& world);

  /// Compares every element of every rank's `logits`, `[batch, seq, vocabulary]` replicated on each. Collective.
  /// Throws an internal error for logits of other sizes.
  LogitsError error(const at::Tensor& logits, World& world) const;

 private:
  double difference_of_rows(const at::Tensor& logits, std::int64_t index, std::int64_t begin, std::int64_t count,
                            World& world) const;

  void require_sizes(const at::Tensor& logits) const;

  std::int64_t share_;               ///< sequences of each rank, fewer of the last
  std::vector<std::int64_t> sizes_;  ///< `[batch, seq, vocabulary]`
  at::Tensor logits_;                ///< of this rank's sequences; undefined for none
};

}  // namespace tpsp
