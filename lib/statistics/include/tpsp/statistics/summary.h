// What a list of repeated timings says, without assuming how they are distributed.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace tpsp {

/// The confidence of every interval and verdict.
inline constexpr double confidence = 0.95;

struct Interval {
  double low = 0;
  double high = 0;
};

struct Summary {
  double median = 0;
  std::optional<Interval> interval;  ///< of the median, see median_interval
  double min = 0;
  double p10 = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
  double mad = 0;  ///< median absolute deviation from the median, as it is (not scaled to a normal distribution's)
  double cv = 0;   ///< sample standard deviation over the mean; 0 for one sample and for a mean of 0
};

/// Percentiles interpolate linearly between the samples (type 7 of Hyndman and Fan, 1996). Throws
/// std::invalid_argument for no samples and, as all functions here do, for one that is not finite.
Summary summarize(std::span<const double> samples);

/// The middle sample, or the mean of the two middle ones. Throws std::invalid_argument for none.
double median(std::span<const double> samples);

/// A distribution-free interval of the median: the k-th smallest and k-th largest sample, k as large as the binomial
/// distribution allows for `confidence` (Conover, Practical Nonparametric Statistics, 3.2). Nothing for fewer than six
/// samples, which can not support 95%.
std::optional<Interval> median_interval(std::span<const double> samples);

/// Half the width of the median's interval over the median; nothing where there is no interval.
std::optional<double> relative_noise(const Summary& summary);

/// Outliers, clusters and drift in samples, in the order in which they were taken.
enum class Anomaly {
  /// The warm-up was too short: of n samples, the first is at least 10% above the median of the others and above their
  /// 75th percentile by more than 3 + 36/n times their interquartile range.
  first_slow,
  /// Two groups, each with at least two samples and 15% of them. They are split where the distances of the samples from
  /// their group's median are smallest. The groups' medians are apart by at least 5% of the median, by at least
  /// 6 + 30/n times the mean of these distances (their sum over n - 2), and by at most four times the gap between the
  /// groups.
  bimodal,
  /// A trend (Mann-Kendall's test at 1%) that from the first sample to the last is more than 2% of the median (Theil
  /// and Sen's slope).
  drifting,
};
/// "first-slow", "bimodal", "drifting".
std::string_view to_string(Anomaly anomaly);

/// The anomalies of `samples`, in the order of the enumeration. None for fewer than six. A slow first sample does not
/// count towards the other two. Of lists of plain noise, normal or lognormal, less than 2% show any one of them.
std::vector<Anomaly> anomalies(std::span<const double> samples);

}  // namespace tpsp
