// Weights as a function of (seed, name, global index): any rank makes any slice, and all slices are of one model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tpsp/gemm/weight.h"
#include "tpsp/parallel/lowering.h"

namespace tpsp {

/// The kernels that multiply with a weight of so many rows and columns.
using KernelChoice = std::function<GemmKernels(std::int64_t rows, std::int64_t columns)>;

/// What weights are made from and where they are put.
struct WeightRecipe {
  std::uint64_t seed = 0;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  KernelChoice kernel{};  ///< plain without one
};

/// A linear weight in the form that the kernels chosen for its shape want.
GemmWeight make_gemm_weight(at::Tensor weight, const KernelChoice& kernel);

/// The block of a weight that one rank holds: everything, or block `rank` of `ranks` along `dim`. A dimension that
/// may be padded is rounded up to a multiple of `ranks`, and the padding is zero.
struct WeightShard {
  std::optional<int> dim;
  int rank = 0;
  int ranks = 1;
};

/// The shape of the block, padding included.
std::vector<std::int64_t> local_shape(const Module& module, const WeightShard& shard);

/// One weight's block, bit-equal to the same block of the full weight. Element i of a parameter is
/// s * (k / 2^23) with k a signed 24-bit integer taken from SplitMix64(seed, name, i) (Steele et al., 2014), so
/// that every processor makes the same bits; s = sqrt(3 / fan_in) gives linear weights the variance 1/fan_in,
/// embeddings have s = 1, and norm weights are 1 + k/2^26.
at::Tensor make_weight(const Module& module, const WeightShard& shard, const WeightRecipe& recipe);

/// Token ids `[batch, seq]` (int64), the same on all ranks, from the same generator.
at::Tensor make_tokens(std::uint64_t seed, std::int64_t batch, std::int64_t seq, std::int64_t vocabulary);

/// What one rank holds of a weight: of one module, or of the modules that a container fuses, their rows one after the
/// other.
struct Parameter {
  std::string name;                ///< of the module or the container
  std::vector<Module> modules;     ///< whose weight it is
  std::vector<std::int64_t> rows;  ///< of each
  std::vector<std::int64_t> shape;

  bool is_fused() const { return modules.front().name != name; }
  std::int64_t numel() const;
};

/// All of a rank's parameters, in forward order; alike on all ranks.
std::vector<Parameter> parameters_of(const LoweredPlan& plan);

/// Rank `rank`'s part of it, made by make_weight.
at::Tensor make_parameter(const Parameter& parameter, const LoweredPlan& plan, int rank, const WeightRecipe& recipe);

/// The weights of several modules with one input, their rows one after the other.
struct FusedWeight {
  GemmWeight weight;
  std::vector<std::int64_t> rows;  ///< of each module
};

/// Where a forward pass gets its weights from.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// Of an embedding or a norm.
  virtual at::Tensor get(const std::string& module) const = 0;
  /// Of a linear module that is not fused with others.
  virtual std::shared_ptr<const GemmWeight> product(const std::string& module) const = 0;
  /// Of all modules that read a container's input; null where they are not fused.
  virtual std::shared_ptr<const FusedWeight> fused(const std::string& container) const = 0;
};

/// Weights that an optimizer updates.
class TrainableWeights : public WeightSource {
 public:
  /// What this rank's optimizer is to update, as tensors that may be written: see Gradients::reduced.
  virtual std::map<std::string, at::Tensor> parameters() const = 0;
  /// One module's shard; of fused ones a view. Collective where it is divided over replicas. Throws std::out_of_range
  /// for a module without a weight.
  virtual at::Tensor parameter(const std::string& module) const = 0;
  /// Lets all ranks read what their optimizers have updated. Once a step, after it. Collective.
  virtual void share_updates() {}
  /// Lets go of what was gathered for the forward and the backward.
  virtual void release() {}
  /// What is held all the time.
  virtual std::int64_t bytes() const = 0;
};

/// All of one rank's weights, made once and kept in the form that their GEMMs want. Modules that the plan fuses are
/// one weight. On the meta device they have shapes and no bytes.
class ResidentWeights final : public TrainableWeights {
 public:
  ResidentWeights(const LoweredPlan& plan, int rank, const WeightRecipe& recipe);

  at::Tensor get(const std::string& module) const override { return tables_.at(module); }
  std::shared_ptr<const GemmWeight> product(const std::string& module) const override { return products_.at(module); }
  std::shared_ptr<const FusedWeight> fused(const std::string& container) const override;
  std::int64_t bytes() const override;
  /// All of them by module, fused ones by container. Throws internal_error where one is packed.
  std::map<std::string, at::Tensor> parameters() const override;
  at::Tensor parameter(const std::string& module) const override;

 private:
  /// Where a fused module is.
  struct Within {
    std::string container;
    std::size_t index = 0;
  };

  std::map<std::string, at::Tensor> tables_;
  std::map<std::string, std::shared_ptr<const GemmWeight>> products_;
  std::map<std::string, std::shared_ptr<const FusedWeight>> fused_;
  std::map<std::string, Within> within_;
};

}  // namespace tpsp
