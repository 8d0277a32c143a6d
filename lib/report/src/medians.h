// A row's latency as statistics takes it.
#pragma once

#include "tpsp/bench/row.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

/// Whether the row has a latency, and right numbers: others are compared with nothing.
bool is_measured(const Row& row);

/// NaN for a row without a latency.
Median median_of(const Row& row);

}  // namespace tpsp
