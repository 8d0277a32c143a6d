// Integer arithmetic that is easy to get wrong by one.
#pragma once

#include <cstdint>

namespace tpsp {

/// value / divisor, rounded up; both positive.
constexpr std::int64_t ceil_divide(std::int64_t value, std::int64_t divisor) { return (value + divisor - 1) / divisor; }

/// The smallest multiple of `multiple` that is at least `value`.
constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return ceil_divide(value, multiple) * multiple;
}

}  // namespace tpsp
