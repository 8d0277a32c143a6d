// Is one thing faster than another, by how much, and how sure is that?
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "tpsp/statistics/summary.h"

namespace tpsp {

enum class Verdict {
  faster,     ///< the whole interval lies below 1
  same,       ///< the interval holds 1 and ends within 10% of it: any difference is smaller than that
  slower,     ///< the whole interval lies above 1
  undecided,  ///< too few samples for an interval, or an interval that says nothing: it holds 1 and is wider
};
std::string_view to_string(Verdict verdict);

/// How far from 1 the interval of a ratio that is called the same may reach.
inline constexpr double largest_sameness = 0.1;

/// A time over a baseline's time.
struct Ratio {
  double value = 1;                  ///< of the medians
  std::optional<Interval> interval;  ///< at `confidence`; holds `value`
  Verdict verdict = Verdict::undecided;
};

/// Of samples that were taken in turns, the i-th of both in the same round: the interval is that of the median of the
/// rounds' ratios, so that what slows both down cancels; it is widened where it does not hold the ratio of the medians.
/// Equally many samples, at least one, all positive and finite; throws std::invalid_argument otherwise.
Ratio ratio_of_pairs(std::span<const double> times, std::span<const double> baseline);

/// A median with its interval, as a results file has it.
struct Median {
  double value = 0;
  std::optional<Interval> interval;
};

/// Of independent medians: the interval is made from theirs on a logarithmic scale by the square-and-add method (Zou
/// and Donner, Statistics in Medicine 27, 2008). Only an interval wholly outside [1 / (1 + margin), 1 + margin] is a
/// difference. Undecided where one of the two has no interval, or has a number that is not positive and finite.
Ratio ratio_of_medians(const Median& time, const Median& baseline, double margin = 0);

}  // namespace tpsp
