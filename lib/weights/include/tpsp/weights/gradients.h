// The gradients of one rank's weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"

namespace tpsp {

/// The gradient of one weight's shard, accumulated over micro-batches.
struct Gradient {
  at::Tensor value;      ///< of the weight's dtype; of a norm's weight fp32
  bool started = false;  ///< `value` holds something
  /// It is a term of a sum over the ranks: the weight is replicated, and each rank has seen other tokens.
  bool partial = false;
};

/// One for each weight, shaped and fused as ResidentWeights keeps them: modules that are fused have one tensor.
class Gradients {
 public:
  Gradients(const LoweredPlan& plan, int rank, at::ScalarType dtype, at::Device device);

  /// Of a module with a weight of its own, or of a container whose modules are fused.
  Gradient& at(const std::string& module) { return gradients_.at(module); }
  const Gradient& at(const std::string& module) const { return gradients_.at(module); }
  /// Forgets what is held, for the next step.
  void start_step();
  /// Sums what is partial over the ranks: norms' all in one reduction. Once a step, after the last micro-batch.
  /// Collective.
  void finish_step(const Context& context);
  /// The gradient of any module's shard; of fused ones a view. Throws std::out_of_range for a module without a weight.
  at::Tensor of(const std::string& module) const;
  /// Whether `of` the module is the gradient of the shard, not a term of it: after a backward, and after finish_step
  /// where it is partial.
  bool is_finished(const std::string& module) const;
  std::int64_t bytes() const;

 private:
  /// Where a fused module's rows lie.
  struct Rows {
    std::string container;
    std::int64_t first = 0;
    std::int64_t count = 0;
  };

  std::map<std::string, Gradient> gradients_;
  std::map<std::string, Rows> fused_;
};

/// The gradient of a module's whole weight, gathered from the shards that `plan` cuts and without padding: the shape
/// that `local_shape` gives for no shard, in the dtype of `gradients`, in memory of this rank's own. Collective. Throws
/// internal_error where it is not finished yet, std::out_of_range for a module without a weight.
at::Tensor gathered_gradient(const Gradients& gradients, const LoweredPlan& plan, const std::string& module,
                             const Context& context);

/// What the reduction of gradients is called in events and messages.
inline constexpr const char* gradients_module = "gradients";

}  // namespace tpsp
