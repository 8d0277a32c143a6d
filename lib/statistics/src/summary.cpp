#include "tpsp/statistics/summary.h"

#include <algorithm>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/statistics/univariate_statistics.hpp>
#include <cmath>
#include <stdexcept>

#include "sorted.h"

namespace tpsp {
namespace {

// The largest k for which fewer than k of n samples lie below the median, and as few above it, with no more than the
// wanted error; 0 where there is none.
std::size_t order_of_bounds(std::size_t n) {
  constexpr double tail = (1 - confidence) / 2;
  const boost::math::binomial below(static_cast<double>(n), 0.5);
  const double rank = std::floor(boost::math::quantile(below, tail));
  return boost::math::cdf(below, rank) <= tail ? static_cast<std::size_t>(rank) + 1 : 0;
}

std::optional<Interval> interval_of(std::span<const double> sorted) {
  const std::size_t k = order_of_bounds(sorted.size());
  if (k == 0) return std::nullopt;
  return Interval{.low = sorted[k - 1], .high = sorted[sorted.size() - k]};
}

// Boost 1.74's own median_absolute_deviation is right for samples around zero only.
double median_distance(std::span<const double> samples, double center) {
  std::vector<double> distances;
  for (const double sample : samples) distances.push_back(std::abs(sample - center));
  return median(distances);
}

double variation(std::span<const double> samples) {
  const double mean = boost::math::statistics::mean(samples.begin(), samples.end());
  if (samples.size() < 2 || mean == 0) return 0;
  return std::sqrt(boost::math::statistics::sample_variance(samples.begin(), samples.end())) / mean;
}

}  // namespace

std::vector<double> sorted(std::span<const double> samples) {
  if (samples.empty()) throw std::invalid_argument("no samples");
  const bool finite = std::all_of(samples.begin(), samples.end(), [](double sample) { return std::isfinite(sample); });
  if (!finite) throw std::invalid_argument("a sample is not finite");
  std::vector<double> result(samples.begin(), samples.end());
  std::sort(result.begin(), result.end());
  return result;
}

double quantile(std::span<const double> sorted, double p) {
  const double place = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  if (below + 1 >= sorted.size()) return sorted.back();
  return std::lerp(sorted[below], sorted[below + 1], place - static_cast<double>(below));
}

double median(std::span<const double> samples) { return quantile(sorted(samples), 0.5); }

std::optional<Interval> median_interval(std::span<const double> samples) {
  if (samples.empty()) return std::nullopt;
  return interval_of(sorted(samples));
}

Summary summarize(std::span<const double> samples) {
  const auto ordered = sorted(samples);
  Summary summary;
  summary.median = quantile(ordered, 0.5);
  summary.interval = interval_of(ordered);
  summary.min = ordered.front();
  summary.p10 = quantile(ordered, 0.1);
  summary.p90 = quantile(ordered, 0.9);
  summary.p99 = quantile(ordered, 0.99);
  summary.max = ordered.back();
  summary.mad = median_distance(ordered, summary.median);
  summary.cv = variation(ordered);
  return summary;
}

std::optional<double> relative_noise(const Summary& summary) {
  if (!summary.interval || summary.median == 0) return std::nullopt;
  return (summary.interval->high - summary.interval->low) / 2 / summary.median;
}

}  // namespace tpsp
