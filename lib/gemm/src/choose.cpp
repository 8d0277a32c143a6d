#include "tpsp/gemm/choose.h"

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include "timing.h"
#include "tpsp/core/error.h"

namespace tpsp {
namespace {

constexpr double flops_of_a_part = 3e9;  // some 20 ms of a core that does 150 GFLOP/s
constexpr int calls_of_a_kernel = 9;

/// All that the three products read and write: y = x W^T, and gradients.
struct LayerTensors {
  at::Tensor x;   ///< `[m, k]`
  at::Tensor y;   ///< `[m, n]`
  at::Tensor dw;  ///< `[n, k]`
};

void multiply(const GemmWeight& weight, LinearGemm gemm, const LayerTensors& tensors) {
  switch (gemm) {
    case LinearGemm::forward: return weight.multiply(tensors.x, tensors.y);
    case LinearGemm::input_gradient: return weight.multiply_input_gradient(tensors.y, tensors.x);
    case LinearGemm::weight_gradient: return weight.multiply_weight_gradient(tensors.y, tensors.x, tensors.dw, false);
  }
}

}  // namespace

std::vector<std::vector<double>> time_kernels(const std::vector<GemmKernel>& kernels, LinearGemm gemm,
                                              const ProductSize& size, at::ScalarType dtype) {
  const auto [m, n, k] = size;
  if (m < 1 || n < 1 || k < 1) {
    throw bad_input({.where = "GEMM", .what = fmt::format("no GEMM of [{}, {}] with [{}, {}]", m, k, n, k)});
  }
  const c10::InferenceMode no_gradients;
  const auto [rows, columns, features] = part_of(gemm, size, flops_of_a_part);
  const LayerTensors tensors{.x = numbers(rows, features, dtype, at::kCPU),
                             .y = numbers(rows, columns, dtype, at::kCPU),
                             .dw = at::empty({gemm == LinearGemm::weight_gradient ? columns : 0, features}, dtype)};
  std::vector<GemmWeight> weights;
  for (const auto kernel : kernels) {
    weights.push_back(weight_with(kernel, gemm, numbers(columns, features, dtype, at::kCPU)));
    multiply(weights.back(), gemm, tensors);
  }
  const auto scale = product_flops(m, n, k) / product_flops(rows, columns, features);
  std::vector<std::vector<double>> samples(kernels.size());
  for (int call = 0; call < calls_of_a_kernel; ++call) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      samples[i].push_back(scale * seconds_of([&] { multiply(weights[i], gemm, tensors); }));
    }
  }
  return samples;
}

}  // namespace tpsp
