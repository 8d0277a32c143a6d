// Which kernel multiplies with which weight: asked for, or found by trying.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/gemm/weight.h"
#include "tpsp/model/weights.h"

namespace tpsp {

enum class GemmPolicy {
  automatic,  ///< the fastest of all kernels
  packed,     ///< the fastest of those that pack the weight
  plain,      ///< at::mm on the weight as it is
};

/// The kernel for each shape of a weight; plain for shapes that it does not know.
class GemmChoice {
 public:
  GemmKernel at(std::int64_t rows, std::int64_t columns) const;
  void set(std::int64_t rows, std::int64_t columns, GemmKernel kernel) { kernels_[{rows, columns}] = kernel; }
  KernelChoice as_function() const;

 private:
  std::map<std::pair<std::int64_t, std::int64_t>, GemmKernel> kernels_;
};

/// Chooses for every weight that a rank of `plans` multiplies with, for products of `tokens` rows: each shape is timed
/// once, on all ranks at the same time, and the slowest rank's time counts, so that all choose alike. Throws bad_input
/// for `packed` where nothing packs. Collective.
GemmChoice choose_kernels(GemmPolicy policy, const std::vector<LoweredPlan>& plans, std::int64_t tokens,
                          c10::ScalarType dtype, c10::Device device, World& world);

}  // namespace tpsp
