#include "tpsp/statistics/ratio.h"

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace tpsp {
namespace {

bool is_time(double value) { return value > 0 && std::isfinite(value); }

bool is_time(const Median& median) {
  return is_time(median.value) &&
         (!median.interval || (is_time(median.interval->low) && is_time(median.interval->high)));
}

/// How far from 1 the end of an interval must be for a difference, and may be for sameness.
struct Bounds {
  double difference = 0;
  double sameness = 0;
};

constexpr Bounds of_plans{.difference = 0, .sameness = largest_sameness};

bool is_within(const Interval& interval, double distance) {
  return interval.low >= 1 / (1 + distance) && interval.high <= 1 + distance;
}

Verdict verdict_on(const std::optional<Interval>& interval, const Bounds& bounds) {
  if (!interval) return Verdict::undecided;
  if (interval->high < 1 / (1 + bounds.difference)) return Verdict::faster;
  if (interval->low > 1 + bounds.difference) return Verdict::slower;
  return is_within(*interval, bounds.sameness) ? Verdict::same : Verdict::undecided;
}

std::vector<double> ratios_of(std::span<const double> times, std::span<const double> baseline) {
  if (times.size() != baseline.size()) throw std::invalid_argument("samples that do not pair");
  std::vector<double> ratios;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (!is_time(times[i]) || !is_time(baseline[i])) throw std::invalid_argument("a sample is not a time");
    ratios.push_back(times[i] / baseline[i]);
  }
  return ratios;
}

// How far the interval reaches from the median on a logarithmic scale.
double below(const Median& median) { return std::log(median.value / median.interval->low); }
double above(const Median& median) { return std::log(median.interval->high / median.value); }

Interval square_and_add(const Median& time, const Median& baseline) {
  const double value = time.value / baseline.value;
  return {.low = value * std::exp(-std::hypot(below(time), above(baseline))),
          .high = value * std::exp(std::hypot(above(time), below(baseline)))};
}

Ratio ratio_of_medians(const Median& time, const Median& baseline, const Bounds& bounds) {
  Ratio ratio{.value = time.value / baseline.value, .interval = {}, .verdict = Verdict::undecided};
  if (!time.interval || !baseline.interval || !is_time(time) || !is_time(baseline)) return ratio;
  ratio.interval = square_and_add(time, baseline);
  ratio.verdict = verdict_on(ratio.interval, bounds);
  return ratio;
}

/// What runs say about a program's time, on a logarithmic scale.
struct Spread {
  double mean = 0;
  double variance = 0;  ///< of one run
  double runs = 0;
};

Spread spread_of(std::span<const double> times) {
  Spread spread{.runs = static_cast<double>(times.size())};
  for (const double time : times) spread.mean += std::log(time) / spread.runs;
  if (times.size() < 2) return spread;
  for (const double time : times) spread.variance += std::pow(std::log(time) - spread.mean, 2) / (spread.runs - 1);
  return spread;
}

/// Half the width of Welch's interval of the difference of two means.
double welch_reach(const Spread& a, const Spread& b) {
  const double of_a = (a.runs > 1 ? a.variance : b.variance) / a.runs;
  const double of_b = (b.runs > 1 ? b.variance : a.variance) / b.runs;
  const double variance = of_a + of_b;
  if (variance == 0) return 0;
  const double freedom = a.runs == 1 ? b.runs - 1
                         : b.runs == 1
                             ? a.runs - 1
                             : variance * variance / (of_a * of_a / (a.runs - 1) + of_b * of_b / (b.runs - 1));
  const boost::math::students_t distribution(freedom);
  return boost::math::quantile(distribution, (1 + confidence) / 2) * std::sqrt(variance);
}

Verdict verdict_on_runs(const Ratio& ratio, double margin) {
  constexpr double smallest_difference = 0.75;  // of the margin
  const Verdict verdict = verdict_on(ratio.interval, {.difference = 0, .sameness = margin});
  const bool is_difference = verdict == Verdict::faster || verdict == Verdict::slower;
  const double distance = std::max(ratio.value, 1 / ratio.value) - 1;
  if (!is_difference || distance > smallest_difference * margin) return verdict;
  return is_within(*ratio.interval, margin) ? Verdict::same : Verdict::undecided;
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster: return "faster";
    case Verdict::same: return "same";
    case Verdict::slower: return "slower";
    case Verdict::undecided: return "undecided";
  }
  return "unknown";
}

Ratio ratio_of_pairs(std::span<const double> times, std::span<const double> baseline) {
  const auto ratios = ratios_of(times, baseline);
  const double value = median(times) / median(baseline);
  auto interval = median_interval(ratios);
  if (interval) interval = {.low = std::min(interval->low, value), .high = std::max(interval->high, value)};
  return {.value = value, .interval = interval, .verdict = verdict_on(interval, of_plans)};
}

Ratio ratio_of_medians(const Median& time, const Median& baseline) {
  return ratio_of_medians(time, baseline, of_plans);
}

Ratio ratio_of_medians(const Median& time, const Median& baseline, double margin) {
  return ratio_of_medians(time, baseline, Bounds{.difference = margin, .sameness = margin});
}

Ratio ratio_of_runs(std::span<const double> times, std::span<const double> baseline, double margin) {
  const Spread ours = spread_of(times);
  const Spread theirs = spread_of(baseline);
  Ratio ratio{.value = std::exp(ours.mean - theirs.mean), .interval = {}, .verdict = Verdict::undecided};
  const bool are_times = std::isfinite(ours.mean) && std::isfinite(theirs.mean);
  if (times.empty() || baseline.empty() || times.size() + baseline.size() < 3 || !are_times) return ratio;
  const double reach = std::exp(welch_reach(ours, theirs));
  ratio.interval = Interval{.low = ratio.value / reach, .high = ratio.value * reach};
  ratio.verdict = verdict_on_runs(ratio, margin);
  return ratio;
}

}  // namespace tpsp
