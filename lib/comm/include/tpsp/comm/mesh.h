// The ranks as a grid, [dp, tp]: data-parallel replicas of tensor-parallel groups.
#pragma once

#include <memory>

#include "tpsp/comm/world.h"

namespace tpsp {

/// The ranks of a tensor-parallel group are neighbours: rank = dp_rank * tp + tp_rank, as in Megatron-LM (Narayanan et
/// al., arXiv:2104.04473). A backend makes its process group from one dimension and knows no other ranks.
class Mesh {
 public:
  /// Throws bad_input where `tp` does not divide the ranks. `world` outlives it. Collective.
  Mesh(World& world, int tp);

  /// The ranks that this rank shares a model with.
  World& tp() const { return tp_group_ ? *tp_group_ : world_; }
  /// The ranks that hold the same part of the model.
  World& dp() const { return *dp_group_; }

 private:
  World& world_;
  std::unique_ptr<World> tp_group_;  ///< null where it is the world itself
  std::unique_ptr<World> dp_group_;
};

}  // namespace tpsp
