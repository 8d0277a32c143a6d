#include "tpsp/bench/largest_fit.h"

#include <algorithm>

namespace tpsp {

// Guesses from the first two, goes on from there in steps that double, and halves what is left.
std::int64_t largest_fit(std::int64_t limit, std::int64_t most,
                         const std::function<std::int64_t(std::int64_t)>& bytes) {
  const auto fits = [&](std::int64_t n) { return bytes(n) <= limit; };
  const auto of_one = bytes(1);
  if (of_one > limit || most < 1) return 0;
  std::int64_t good = 1;
  std::int64_t bad = most + 1;
  const auto each = most > 1 ? std::max<std::int64_t>(bytes(2) - of_one, 1) : 1;
  const auto guess = std::clamp<std::int64_t>(1 + (limit - of_one) / each, 1, most);
  std::int64_t step = 1;
  if (fits(guess)) {
    good = guess;
    for (auto next = good + step; next <= most; next = good + step) {
      if (!fits(next)) {
        bad = next;
        break;
      }
      good = next;
      step *= 2;
    }
  } else {
    bad = guess;
    for (auto next = bad - step; next > good; next = bad - step) {
      if (fits(next)) {
        good = next;
        break;
      }
      bad = next;
      step *= 2;
    }
  }
  while (bad - good > 1) {
    const auto middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good;
}

}  // namespace tpsp
