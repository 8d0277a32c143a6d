// Which kernel multiplies with which weight: asked for, or found by trying.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tpsp/comm/world.h"
#include "tpsp/gemm/peaks.h"
#include "tpsp/gemm/weight.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

enum class GemmPolicy {
  automatic,  ///< the fastest of those whose weight takes as little memory as the plain one
  packed,     ///< the fastest of those that pack the weight
  in_place,   ///< the fastest of those that keep the weight as it is: for training
  plain,      ///< at::mm on the weight as it is
};

std::string_view to_string(GemmPolicy policy);

/// The kernels for each shape of a weight; plain for shapes that it does not know.
class GemmChoice {
 public:
  GemmKernels at(std::int64_t rows, std::int64_t columns) const;
  void set(std::int64_t rows, std::int64_t columns, LinearGemm gemm, GemmKernel kernel) {
    kernels_[{rows, columns}].of(gemm) = kernel;
  }
  KernelChoice as_function() const;

  /// GEMMs whose kernels a rank had too little memory to try.
  std::int64_t untried() const { return untried_; }
  void note_untried() { ++untried_; }

  /// The file that choices are kept in, see GemmCache; empty for none.
  const std::string& file() const { return file_; }
  void set_file(std::string file) { file_ = std::move(file); }

 private:
  std::map<std::pair<std::int64_t, std::int64_t>, GemmKernels> kernels_;
  std::int64_t untried_ = 0;
  std::string file_;
};

/// A rank's weights in the forms that their GEMMs want.
struct WeightForms {
  std::int64_t bytes = 0;
  std::int64_t allocated_bytes = 0;  ///< by the tensors that hold them
  std::int64_t largest_bytes = 0;    ///< of one of them before it is packed, fused ones among them
  std::set<std::string> kernels;     ///< that multiply with them in a forward
  std::set<std::string> backward;    ///< and in a backward
};
WeightForms weight_forms(const LoweredPlan& plan, c10::ScalarType dtype, const GemmChoice& choice);

/// Rows and columns of every weight that a rank of `plans` multiplies with.
std::set<std::pair<std::int64_t, std::int64_t>> weight_shapes(const std::vector<LoweredPlan>& plans,
                                                              c10::ScalarType dtype);

/// Which of several kernels to take, by their samples, the i-th of all taken one after the other: the first, unless
/// another is faster by more than 3% and the noise (the interval of the ratio of pairs ends below 0.97).
std::size_t clearly_fastest(const std::vector<std::vector<double>>& samples);

/// A GEMM of `[m, k]` with a weight `[n, k]`, for which a kernel is chosen.
struct ChosenGemm {
  ProductSize size;
  LinearGemm gemm = LinearGemm::forward;

  auto operator<=>(const ChosenGemm&) const = default;
};

/// Choices of earlier runs, for one machine, setting and policy; on all ranks the same.
using KnownChoices = std::map<ChosenGemm, GemmKernel>;

/// Chooses for every weight that a rank of `plans` multiplies with, for GEMMs of `tokens` rows, and with `in_place` for
/// the backward's too: what `known` has, and otherwise each GEMM is timed once, on all ranks at the same time, the
/// slowest rank's times count, so that all choose alike, and the choice becomes known. `automatic` leaves out a form
/// that is more than 0.5% larger than the plain weight. Where a rank runs out of memory in trying, the first that the
/// policy allows is taken. Throws bad_input for `packed` where nothing packs. Collective.
GemmChoice choose_kernels(GemmPolicy policy, const std::vector<LoweredPlan>& plans, std::int64_t tokens,
                          c10::ScalarType dtype, c10::Device device, World& world, KnownChoices& known);

}  // namespace tpsp
