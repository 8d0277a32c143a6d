#include "tpsp/gemm/choose.h"

#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include "timing.h"
#include "tpsp/core/error.h"

namespace tpsp {
namespace {

constexpr double flops_of_a_part = 3e9;  // some 20 ms of a core that does 150 GFLOP/s
constexpr int calls_of_a_kernel = 9;

}  // namespace

std::vector<std::vector<double>> time_kernels(const std::vector<GemmKernel>& kernels, std::int64_t m, std::int64_t n,
                                              std::int64_t k, at::ScalarType dtype) {
  if (m < 1 || n < 1 || k < 1) {
    throw bad_input({.where = "GEMM", .what = fmt::format("no GEMM of [{}, {}] with [{}, {}]", m, k, n, k)});
  }
  const c10::InferenceMode no_gradients;
  const auto [rows, columns, features] = part_of({m, n, k}, flops_of_a_part);
  const auto x = numbers(rows, features, dtype, at::kCPU);
  const auto out = at::empty({rows, columns}, x.options());
  std::vector<GemmWeight> weights;
  for (const auto kernel : kernels) {
    weights.emplace_back(numbers(columns, features, dtype, at::kCPU), kernel);
    weights.back().multiply(x, out);
  }
  const auto scale = product_flops(m, n, k) / product_flops(rows, columns, features);
  std::vector<std::vector<double>> samples(kernels.size());
  for (int call = 0; call < calls_of_a_kernel; ++call) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      samples[i].push_back(scale * seconds_of([&] { weights[i].multiply(x, out); }));
    }
  }
  return samples;
}

}  // namespace tpsp
