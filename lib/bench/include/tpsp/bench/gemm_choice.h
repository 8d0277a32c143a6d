// Which kernel multiplies with which weight: asked for, or found by trying.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/gemm/weight.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

enum class GemmPolicy {
  automatic,  ///< the fastest of those whose weight takes as little memory as the plain one
  packed,     ///< the fastest of those that pack the weight
  plain,      ///< at::mm on the weight as it is
};

std::string_view to_string(GemmPolicy policy);

/// The kernel for each shape of a weight; plain for shapes that it does not know.
class GemmChoice {
 public:
  GemmKernel at(std::int64_t rows, std::int64_t columns) const;
  void set(std::int64_t rows, std::int64_t columns, GemmKernel kernel) { kernels_[{rows, columns}] = kernel; }
  KernelChoice as_function() const;

  /// The best rate of the slowest rank while kernels were tried; 0 where none were.
  double best_flops_per_s() const { return best_flops_per_s_; }
  void note_rate(double flops_per_s) { best_flops_per_s_ = std::max(best_flops_per_s_, flops_per_s); }

  /// Shapes whose kernels a rank had too little memory to try.
  std::int64_t untried() const { return untried_; }
  void note_untried() { ++untried_; }

 private:
  std::map<std::pair<std::int64_t, std::int64_t>, GemmKernel> kernels_;
  double best_flops_per_s_ = 0;
  std::int64_t untried_ = 0;
};

/// A rank's weights in the forms that their GEMMs want.
struct WeightForms {
  std::int64_t bytes = 0;
  std::int64_t allocated_bytes = 0;  ///< by the tensors that hold them
  std::int64_t largest_bytes = 0;    ///< of one of them before it is packed, fused ones among them
  std::set<std::string> kernels;     ///< that multiply with them
};
WeightForms weight_forms(const LoweredPlan& plan, c10::ScalarType dtype, const GemmChoice& choice);

/// Rows and columns of every weight that a rank of `plans` multiplies with.
std::set<std::pair<std::int64_t, std::int64_t>> weight_shapes(const std::vector<LoweredPlan>& plans,
                                                              c10::ScalarType dtype);

/// Which of several kernels to take, by their seconds: the first, unless another is at least 3% faster, so that two
/// runs choose alike.
std::size_t quickest(const std::vector<double>& seconds);

/// Chooses for every weight that a rank of `plans` multiplies with, for GEMMs of `tokens` rows: each shape is timed
/// once, on all ranks at the same time, and the slowest rank's time counts, so that all choose alike. `automatic`
/// leaves out a form that is more than 2% larger than the plain weight. Where a rank runs out of memory in trying, the
/// first that the policy allows is taken. Throws bad_input for `packed` where nothing packs. Collective.
GemmChoice choose_kernels(GemmPolicy policy, const std::vector<LoweredPlan>& plans, std::int64_t tokens,
                          c10::ScalarType dtype, c10::Device device, World& world);

}  // namespace tpsp
