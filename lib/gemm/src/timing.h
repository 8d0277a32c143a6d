// What choose.cpp and peaks.cpp time, and with what.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "tpsp/gemm/peaks.h"
#include "tpsp/gemm/weight.h"

namespace tpsp {

/// A matrix of numbers from -1 to 1 in no order, without a draw from LibTorch's random generator.
inline at::Tensor numbers(std::int64_t rows, std::int64_t columns, at::ScalarType dtype, at::Device device) {
  const auto steps = at::arange(rows * columns, at::TensorOptions().dtype(at::kFloat).device(device));
  return steps.sin().to(dtype).view({rows, columns});
}

/// A weight of which one GEMM has `kernel`; those that have none of their own are plain.
inline GemmWeight weight_with(GemmKernel kernel, LinearGemm gemm, const at::Tensor& weight) {
  GemmKernels kernels;
  kernels.of(gemm) = kernel;
  return {weight, kernels};
}

template <typename Function>
double seconds_of(const Function& function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The middle one of an odd number of samples.
inline double middle(std::vector<double> samples) {
  const auto mid = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), mid, samples.end());
  return *mid;
}

/// A part of a large GEMM of `[m, k]` with a weight `[n, k]`: of its result some of the rows, and at least 512 of the
/// columns; all of what it sums over. A small GEMM is timed in full, since its weight may exceed every cache and its
/// time is then the time to read that weight.
inline ProductSize part_of(LinearGemm gemm, const ProductSize& size, double most_flops) {
  constexpr std::int64_t most_rows = 512;
  constexpr std::int64_t fewest_columns = 512;
  auto part = size;
  const auto cut = [&](std::int64_t& rows, std::int64_t& columns, std::int64_t summed) {
    rows = std::min(rows, most_rows);
    const auto affordable = static_cast<std::int64_t>(most_flops / product_flops(rows, 1, summed)) / 64 * 64;
    columns = std::min(columns, std::max(affordable, fewest_columns));
  };
  switch (gemm) {
    case LinearGemm::forward: cut(part.m, part.n, size.k); break;
    case LinearGemm::input_gradient: cut(part.m, part.k, size.n); break;
    case LinearGemm::weight_gradient: cut(part.n, part.k, size.m); break;
  }
  return part;
}

}  // namespace tpsp
