#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cmath>
#include <numeric>
#include <vector>

#include "sorted.h"
#include "tpsp/statistics/summary.h"

namespace tpsp {
namespace {

constexpr std::size_t fewest_samples = 6;

double size_of(std::span<const double> samples) { return static_cast<double>(samples.size()); }

bool is_first_slow(std::span<const double> samples) {
  const auto others = sorted(samples.subspan(1));
  const double quarter = quantile(others, 0.25);
  const double three_quarters = quantile(others, 0.75);
  // Few samples estimate their spread badly: 36/n keeps plain noise below 2%.
  const double fence = three_quarters + (3 + 36 / size_of(samples)) * (three_quarters - quarter);
  return samples.front() > fence && samples.front() >= 1.1 * quantile(others, 0.5);
}

// Two groups of sorted samples.
struct Split {
  double within = 0;      // the mean distance of a sample from its group's median
  double separation = 0;  // of the groups' medians
  double gap = 0;         // between the groups
};

// Sums of the first k of sorted samples, for all k.
class PartialSums {
 public:
  explicit PartialSums(std::span<const double> sorted) : sums_(sorted.size() + 1) {
    std::partial_sum(sorted.begin(), sorted.end(), sums_.begin() + 1);
  }
  // The sum of the distances of samples [begin, end) from their median.
  double distances(std::size_t begin, std::size_t end) const {
    const std::size_t half = (end - begin) / 2;
    return (sums_[end] - sums_[end - half]) - (sums_[begin + half] - sums_[begin]);
  }

 private:
  std::vector<double> sums_;
};

// The split with the least distances within its groups, none of which is smaller than `smallest`.
Split best_split(std::span<const double> sorted, std::size_t smallest) {
  const PartialSums sums(sorted);
  const auto within = [&](std::size_t at) { return sums.distances(0, at) + sums.distances(at, sorted.size()); };
  std::size_t best = smallest;
  for (std::size_t at = smallest; at + smallest <= sorted.size(); ++at) {
    if (within(at) < within(best)) best = at;
  }
  // The two medians take two degrees of freedom.
  return {.within = within(best) / (size_of(sorted) - 2),
          .separation = quantile(sorted.subspan(best), 0.5) - quantile(sorted.first(best), 0.5),
          .gap = sorted[best] - sorted[best - 1]};
}

bool is_bimodal(std::span<const double> samples) {
  const auto ordered = sorted(samples);
  const auto smallest = std::max<std::size_t>(2, static_cast<std::size_t>(std::ceil(0.15 * size_of(samples))));
  const Split split = best_split(ordered, smallest);
  return split.separation >= 0.05 * quantile(ordered, 0.5) && split.gap >= split.separation / 4 &&
         split.separation >= (6 + 30 / size_of(samples)) * split.within;
}

// The variance of Kendall's sum over n samples without a trend, less for samples that are equal.
double variance_without_trend(std::span<const double> sorted) {
  const auto term = [](double n) { return n * (n - 1) * (2 * n + 5) / 18; };
  double variance = term(size_of(sorted));
  for (auto tie = sorted.begin(); tie != sorted.end();) {
    const auto end = std::upper_bound(tie, sorted.end(), *tie);
    variance -= term(static_cast<double>(end - tie));
    tie = end;
  }
  return variance;
}

struct Trend {
  double sum = 0;    // Kendall's: pairs that rise less pairs that fall
  double slope = 0;  // Theil and Sen's: the median of the pairs', for one step
};

Trend trend_of(std::span<const double> samples) {
  Trend trend;
  std::vector<double> slopes;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    for (std::size_t j = i + 1; j < samples.size(); ++j) {
      const double rise = samples[j] - samples[i];
      trend.sum += rise > 0 ? 1 : rise < 0 ? -1 : 0;
      slopes.push_back(rise / static_cast<double>(j - i));
    }
  }
  trend.slope = median(slopes);
  return trend;
}

// All pairs of very many samples would take long; evenly chosen ones show a drift as well.
std::vector<double> at_most_a_thousand(std::span<const double> samples) {
  const std::size_t step = (samples.size() + 999) / 1000;
  std::vector<double> chosen;
  for (std::size_t i = 0; i < samples.size(); i += step) chosen.push_back(samples[i]);
  return chosen;
}

bool is_drifting(std::span<const double> all) {
  const auto samples = at_most_a_thousand(all);
  const auto ordered = sorted(samples);
  const double variance = variance_without_trend(ordered);
  if (variance <= 0) return false;
  const Trend trend = trend_of(samples);
  const double z = (std::abs(trend.sum) - 1) / std::sqrt(variance);
  const double change = std::abs(trend.slope) * (size_of(samples) - 1);
  constexpr double tail = 0.01 / 2;
  return z > boost::math::quantile(boost::math::normal(), 1 - tail) && change > 0.02 * quantile(ordered, 0.5);
}

}  // namespace

std::string_view to_string(Anomaly anomaly) {
  switch (anomaly) {
    case Anomaly::first_slow: return "first-slow";
    case Anomaly::bimodal: return "bimodal";
    case Anomaly::drifting: return "drifting";
  }
  return "unknown";
}

std::vector<Anomaly> anomalies(std::span<const double> samples) {
  if (samples.size() < fewest_samples) return {};
  std::vector<Anomaly> found;
  if (is_first_slow(samples)) {
    found.push_back(Anomaly::first_slow);
    samples = samples.subspan(1);
  }
  if (is_bimodal(samples)) found.push_back(Anomaly::bimodal);
  if (is_drifting(samples)) found.push_back(Anomaly::drifting);
  return found;
}

}  // namespace tpsp
