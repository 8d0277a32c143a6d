// The gradients of one rank's weights.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"
#include "tpsp/weights/data_parallel.h"

namespace tpsp {

/// The gradient of one weight's shard, accumulated over micro-batches.
struct Gradient {
  at::Tensor value;      ///< of the weight's dtype; of a norm's weight fp32
  bool started = false;  ///< `value` holds something
  /// It is a term of a sum over the ranks: the weight is replicated, and each rank has seen other tokens.
  bool partial = false;
};

/// One for each weight, shaped and fused as ResidentWeights keeps them: modules that are fused have one tensor.
///
/// Beside replicas they lie flat, as FlatWeights do. Up to ZeroStage::optimizer all are there all the time, and are
/// reduced once a step; from ZeroStage::gradients on those of one unit are, and a rank keeps its part of the sum.
class Gradients {
 public:
  Gradients(const LoweredPlan& plan, at::ScalarType dtype, at::Device device, const DataParallel* replicas = nullptr);

  /// Of a module with a weight of its own, or of a container whose modules are fused. Where the gradients of one unit
  /// are there at a time it may reduce those of the one before, and what was got before is to be let go. So all
  /// replicas ask in the same order.
  Gradient& at(const std::string& module);
  /// Forgets what is held, for the next step.
  void start_step();
  /// The backward of a micro-batch has left the last unit. Collective.
  void finish_backward();
  /// Sums over the replicas, then what is partial over the ranks, as Megatron-LM does: norms' all in one reduction.
  /// Once a step, after the last micro-batch. Collective.
  void finish_step(const Context& context);
  /// The gradient of any module's shard; of fused ones a view. Throws std::out_of_range for a module without a weight.
  /// Beside replicas only after finish_step, and collective where it is divided over them: the unit that was gathered
  /// last is kept until the next step or release.
  at::Tensor of(const std::string& module) const;
  /// Lets go of what `of` has gathered.
  void release();
  /// Fills what is kept with NaN: what the next step does not compute is seen then.
  void spoil();
  /// Whether `of` the module is the gradient of the shard, not a term of it: after a backward, and after finish_step
  /// where it is partial.
  bool is_finished(const std::string& module) const;
  /// After finish_step, what the optimizer steps with: the gradient by that name, or, beside replicas, of that unit
  /// what FlatWeights::parameters has of it.
  at::Tensor reduced(const std::string& name) const;
  /// What is kept between two backwards.
  std::int64_t bytes() const;

 private:
  /// Where a fused module's rows lie.
  struct Rows {
    std::string container;
    std::int64_t first = 0;
    std::int64_t count = 0;
  };
  struct Unit {
    FlatUnit layout;
    at::Tensor sum;  ///< over the replicas: all of it or this rank's part
    bool started = false;
  };

  bool takes_one_unit() const { return replicas_ && replicas_->stage >= ZeroStage::gradients; }
  void note_fused(const Parameter& parameter);
  void make_flat(const LoweredPlan& plan);
  void enter(std::size_t unit);
  void pack();
  at::Tensor scattered();
  void reduce_whole();
  at::Tensor held_of_sum(const std::string& name) const;
  at::Tensor whole_of_sum(const std::string& name) const;

  std::map<std::string, Gradient> gradients_;
  std::map<std::string, Rows> fused_;

  // beside replicas
  std::optional<DataParallel> replicas_;
  at::TensorOptions options_;
  std::vector<Unit> units_;
  std::map<std::string, std::size_t> unit_of_;  ///< by parameter
  std::optional<std::size_t> entered_;          ///< whose gradients are there
  at::Tensor whole_;                            ///< they, flat
  bool finished_ = false;                       ///< the sums are over all replicas and ranks
  mutable std::optional<std::size_t> gathered_unit_;
  mutable at::Tensor gathered_;
};

/// The gradient of a module's whole weight, gathered from the shards that `plan` cuts and without padding: the shape
/// that `local_shape` gives for no shard, in the dtype of `gradients`, in memory of this rank's own. Collective. Throws
/// internal_error where it is not finished yet, std::out_of_range for a module without a weight.
at::Tensor gathered_gradient(const Gradients& gradients, const LoweredPlan& plan, const std::string& module,
                             const Context& context);

/// What the reduction of gradients is called in events and messages.
inline constexpr const char* gradients_module = "gradients";

}  // namespace tpsp
