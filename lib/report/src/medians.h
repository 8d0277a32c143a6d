// A row's latency as statistics takes it.
#pragma once

#include "tpsp/bench/row.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

/// NaN for a row without a latency.
Median median_of(const Row& row);

}  // namespace tpsp
