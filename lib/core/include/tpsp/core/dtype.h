// The number formats that are measured: their names, sizes and rounding, in one place.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

enum class Dtype { fp32, bf16 };
inline constexpr std::array all_dtypes{Dtype::fp32, Dtype::bf16};

constexpr std::string_view to_string(Dtype dtype) { return dtype == Dtype::bf16 ? "bf16" : "fp32"; }
constexpr std::size_t bytes_of(Dtype dtype) { return dtype == Dtype::bf16 ? 2 : 4; }
/// Half the distance from 1 to the next larger number: the largest relative error of one rounding.
constexpr double unit_roundoff(Dtype dtype) { return dtype == Dtype::bf16 ? 0x1p-8 : 0x1p-24; }

/// The inverse of to_string; nothing for any other text.
constexpr std::optional<Dtype> parse_dtype(std::string_view name) {
  for (const auto dtype : all_dtypes) {
    if (name == to_string(dtype)) return dtype;
  }
  return std::nullopt;
}

inline std::vector<std::string> dtype_names() {
  std::vector<std::string> names;
  for (const auto dtype : all_dtypes) names.emplace_back(to_string(dtype));
  return names;
}

}  // namespace tpsp
