// How much fits in a memory.
#pragma once

#include <cstdint>
#include <functional>

namespace tpsp {

/// The largest n of 1 ... most for which `bytes(n)` is at most `limit`; 0 where that of 1 is not. `bytes` grows with n.
/// It is called a few times where it grows about evenly.
std::int64_t largest_fit(std::int64_t limit, std::int64_t most, const std::function<std::int64_t(std::int64_t)>& bytes);

}  // namespace tpsp
