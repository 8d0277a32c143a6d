// Is one thing faster than another, by how much, and how sure is that?
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "tpsp/statistics/summary.h"

namespace tpsp {

enum class Verdict {
  faster,     ///< the interval shows that it takes less time
  same,       ///< the entire interval lies where differences do not count
  slower,     ///< the interval shows that it takes more time
  undecided,  ///< too few samples for an interval, or an interval that is too wide for the others
};
std::string_view to_string(Verdict verdict);

/// How far from 1 the interval of two plans' ratio that are called the same may reach.
inline constexpr double largest_sameness = 0.1;

/// How far apart the medians of two runs may be without a difference: it stands for the spread between runs, which is
/// wider than their own intervals.
inline constexpr double margin_between_runs = 0.02;

/// A time over a baseline's time.
struct Ratio {
  double value = 1;                  ///< of the medians
  std::optional<Interval> interval;  ///< at `confidence`; holds `value`
  Verdict verdict = Verdict::undecided;
};

/// Of interleaved samples, the i-th of both taken in the same repetition: the interval is that of the median of the
/// pairwise ratios, so that common slowdowns cancel; it is widened where it does not hold the ratio of the medians.
/// Faster or slower where it lies entirely on one side of 1; else the same where it ends within largest_sameness of 1.
/// Equally many samples, at least one, all positive and finite; throws std::invalid_argument otherwise.
Ratio ratio_of_pairs(std::span<const double> times, std::span<const double> baseline);

/// A median with its interval, as a results file has it.
struct Median {
  double value = 0;
  std::optional<Interval> interval;
};

/// Of independent medians: the interval is made from theirs on a logarithmic scale by the square-and-add method (Zou
/// and Donner, Statistics in Medicine 27, 2008). Verdicts as of pairs. Undecided where one of the two has no interval,
/// or has a number that is not positive and finite.
Ratio ratio_of_medians(const Median& time, const Median& baseline);

/// As ratio_of_medians, but differences up to `margin` do not count: the same is an interval entirely inside
/// [1 / (1 + margin), 1 + margin], faster or slower one entirely outside.
Ratio ratio_of_medians(const Median& time, const Median& baseline, double margin);

/// Of the medians of several runs of two programs, at least three in all: the ratio of the geometric means with Welch's
/// interval on the logarithms (Welch, Biometrika 34, 1947), so that the spread between runs is what counts. A program
/// with one run is taken to vary as the other does.
///
/// The same is an interval entirely inside [1 / (1 + margin), 1 + margin]. Faster or slower is one that excludes 1, of
/// a ratio that is further than three quarters of the margin from it: an interval alone errs once in twenty rows. With
/// five runs each, a spread of 0.5% to 1% between runs and a margin of 2%, at most 1.5% of equal programs are called
/// different, and at least 97% of those slowed by 3% slower.
///
/// Undecided where there are fewer runs, or a time that is not positive and finite.
Ratio ratio_of_runs(std::span<const double> times, std::span<const double> baseline, double margin);

}  // namespace tpsp
