#include "tpsp/statistics/ratio.h"

#include <algorithm>
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

Verdict verdict_on(const std::optional<Interval>& interval, double margin) {
  if (!interval) return Verdict::undecided;
  if (interval->high < 1 / (1 + margin)) return Verdict::faster;
  if (interval->low > 1 + margin) return Verdict::slower;
  const double most = 1 + largest_sameness;
  return interval->low >= 1 / most && interval->high <= most ? Verdict::same : Verdict::undecided;
}

std::vector<double> ratios_of(std::span<const double> times, std::span<const double> baseline) {
  if (times.size() != baseline.size()) throw std::invalid_argument("samples that do not pair");
  std::vector<double> ratios;
  for (std::size_t round = 0; round < times.size(); ++round) {
    if (!is_time(times[round]) || !is_time(baseline[round])) throw std::invalid_argument("a sample is not a time");
    ratios.push_back(times[round] / baseline[round]);
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
  return {.value = value, .interval = interval, .verdict = verdict_on(interval, 0)};
}

Ratio ratio_of_medians(const Median& time, const Median& baseline, double margin) {
  Ratio ratio{.value = time.value / baseline.value, .interval = {}, .verdict = Verdict::undecided};
  if (!time.interval || !baseline.interval || !is_time(time) || !is_time(baseline)) return ratio;
  ratio.interval = square_and_add(time, baseline);
  ratio.verdict = verdict_on(ratio.interval, margin);
  return ratio;
}

}  // namespace tpsp
