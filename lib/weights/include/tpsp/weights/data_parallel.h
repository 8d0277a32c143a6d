// Data parallelism beside tensor parallelism: replicas of a tensor-parallel group take other sequences of one batch,
// and what a training step keeps may be divided over them. Gradients (gradients.h) are reduced over them; here is the
// rest.
//
// Parameters lie flat: those of a unit one after the other, as the plan shards and fuses them, padded with zeros to a
// multiple of the replicas. The ranks of a dp group hold the same part of the model, so each is laid out alike. A flat
// gradient has the weights' dtype. That of a norm, which a backward sums in fp32, is rounded to it once, when it is
// reduced.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

/// What is divided over the replicas: the stages of ZeRO (Rajbhandari et al., arXiv:1910.02054), each with all before
/// it. The last is FSDP (Zhao et al., arXiv:2304.11277).
enum class ZeroStage {
  none,        ///< nothing: gradients are all-reduced once a step
  optimizer,   ///< moments and masters: gradients are reduce-scattered and new weights all-gathered once a step
  gradients,   ///< gradients: a unit's are reduce-scattered as soon as the backward has left it
  parameters,  ///< weights: a unit's are all-gathered when the forward or the backward comes to it
};
/// "none", "optimizer", "gradients", "parameters".
std::string_view to_string(ZeroStage stage);

/// One rank's place among the replicas: its `group` are the ranks that hold the same part of the model (Mesh::dp).
struct DataParallel {
  ProcessGroup& group;
  ZeroStage stage = ZeroStage::none;
  EventSink* events = nullptr;  ///< gets the collectives over the replicas

  Context context() const { return {.tp = group, .events = events}; }
  /// Its equal part of something flat, a view.
  at::Tensor own_part(const at::Tensor& flat) const;
  /// Something flat of `size` elements, of the ranks' equal parts. Collective.
  at::Tensor gathered(const at::Tensor& part, std::int64_t size, const std::string& module, Use use = Use::read) const;
};

/// What the collectives of weights are called in events; those of gradients are `gradients_module`.
inline constexpr const char* parameters_module = "parameters";

/// How many of `batch` sequences each replica takes. Throws bad_input that names `where` where they do not divide.
std::int64_t replica_batch(std::int64_t batch, int replicas, const std::string& where = "batch");
/// The sequences that this replica takes of all, `[batch, seq]`; a view. Throws as replica_batch does.
at::Tensor replica_sequences(const at::Tensor& all, const ProcessGroup& replicas);
/// The loss of all sequences, of each replica's own that was scaled by 1 / all tokens; in fp32, 0 on meta. `device` is
/// the group's. Collective.
double sum_over_replicas(double loss, at::Device device, const DataParallel& replicas);

/// Parameters that are reduced and gathered together.
struct FlatUnit {
  struct Part {
    Parameter parameter;
    std::int64_t first = 0;  ///< element in the unit

    /// It, in flat memory of the whole unit.
    at::Tensor of(const at::Tensor& flat) const;
  };

  std::string name;  ///< of a block, "layers.0", or of the first parameter
  std::vector<Part> parts;
  std::int64_t used = 0;  ///< elements
  std::int64_t size = 0;  ///< with padding
};

/// Stages that take one unit at a time have what FSDP wraps: what comes before the blocks, each block, and what comes
/// after them. For the others all parameters are one unit.
std::vector<FlatUnit> flat_units(const LoweredPlan& plan, const DataParallel& replicas);

/// One rank's weights beside its replicas', kept flat, for training: none is packed. The recipe's kernels are to
/// multiply plain weights.
///
/// With ZeroStage::parameters it keeps its part of each unit and gathers a unit when one of its weights is first asked
/// for, after letting the one before go. So all replicas are to ask in the same order, and what was got is to be let go
/// before the next unit's is asked for.
class FlatWeights final : public TrainableWeights {
 public:
  /// `rank` is the one in the tensor-parallel group.
  FlatWeights(const LoweredPlan& plan, int rank, const WeightRecipe& recipe, const DataParallel& replicas);

  at::Tensor get(const std::string& module) const override;
  std::shared_ptr<const GemmWeight> product(const std::string& module) const override;
  std::shared_ptr<const FusedWeight> fused(const std::string& container) const override;
  /// By unit: all of it, or this rank's part.
  std::map<std::string, at::Tensor> parameters() const override;
  at::Tensor parameter(const std::string& module) const override;
  void share_updates() override;
  void release() override;
  std::int64_t bytes() const override;

 private:
  struct Unit {
    FlatUnit layout;
    at::Tensor held;  ///< all of it; with ZeroStage::parameters this rank's part
  };
  struct Place {
    std::size_t unit = 0;
    std::size_t part = 0;
    std::int64_t first = 0;  ///< row of the part, of a module that is fused with others
    std::int64_t rows = 0;
  };

  const FlatUnit::Part& part_at(const Place& place) const { return units_[place.unit].layout.parts[place.part]; }
  at::Tensor whole(std::size_t unit) const;
  void note_places(const Parameter& parameter, Place place);
  GemmWeight product_of(const std::string& parameter_name) const;

  DataParallel replicas_;
  KernelChoice kernel_;
  std::vector<Unit> units_;
  std::map<std::string, Place> places_;  ///< by module, and by container
  mutable std::optional<std::size_t> gathered_unit_;
  mutable at::Tensor gathered_;
};

/// The weights of a training step: FlatWeights beside replicas, ResidentWeights without.
std::unique_ptr<TrainableWeights> make_trainable_weights(const LoweredPlan& plan, int rank, const WeightRecipe& recipe,
                                                         const DataParallel* replicas);

}  // namespace tpsp
