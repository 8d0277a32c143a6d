// What a forward keeps for its backward.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tpsp/core/memory_use.h"
#include "tpsp/parallel/sharded.h"

namespace tpsp {

/// What is computed again in the backward instead of being saved (Korthikanti et al., arXiv:2205.05198).
enum class Recompute {
  none,
  attention,  ///< the core of attention, from its queries, keys and values
  block,      ///< everything in a block, from its input
};

/// "none", "attention", "block".
std::string_view to_string(Recompute recompute);

struct SavedPolicy {
  Recompute recompute = Recompute::none;
  /// Whether a gathered input of GEMMs is saved as this rank's shard and gathered again in the backward.
  bool regather = true;

  /// Where blocks are computed again only their inputs are kept, as they lie.
  bool keeps_gathered() const { return !regather && recompute != Recompute::block; }
};

/// A stack, since a backward meets everything in reverse order. Each `redistribute` of the forward is an entry too:
/// the placement that its value came from, without a tensor. Activations and results of collectives are counted as
/// `use` while they are on it; what lies in memory that ranks share stays what it was.
class Saved {
 public:
  explicit Saved(SavedPolicy policy = {}, MemoryUse use = MemoryUse::saved) : policy_(policy), use_(use) {}

  const SavedPolicy& policy() const { return policy_; }
  void push(Sharded value);
  void push(at::Tensor tensor) { push(Sharded{.local = std::move(tensor), .global = {}}); }
  /// The last one pushed. Throws internal_error where there is none.
  Sharded pop();
  /// The last one with a tensor, which stays. Throws internal_error where there is none.
  const Sharded& last() const;
  bool empty() const { return values_.empty(); }
  /// Of the tensors, those that share memory counted once.
  std::int64_t bytes() const;

 private:
  SavedPolicy policy_;
  MemoryUse use_;
  std::vector<Sharded> values_;
};

}  // namespace tpsp
