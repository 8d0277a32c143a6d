// Samples in order, which most of the statistics begin with.
#pragma once

#include <span>
#include <vector>

namespace tpsp {

/// Throws std::invalid_argument for no samples and for one that is not finite.
std::vector<double> sorted(std::span<const double> samples);

/// The type 7 quantile of sorted samples, `p` in [0, 1].
double quantile(std::span<const double> sorted, double p);

}  // namespace tpsp
