// What both checks compare with.
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace tpsp {

inline constexpr std::int64_t exchanged_bytes = std::int64_t{16} << 20;  ///< of all ranks, at a time

inline double finite_or_infinity(double value) {
  return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
}

/// The largest absolute value; 0 of nothing, infinite where one is not finite.
inline double largest_of(const at::Tensor& values) {
  return values.numel() == 0 ? 0 : finite_or_infinity(values.abs().max().item<double>());
}

}  // namespace tpsp
