// What a row says of its measurement.
#pragma once

#include <string>

#include "tpsp/results/row.h"
#include "tpsp/statistics/ratio.h"

namespace tpsp {

/// "llama-7b · 2 layers · batch 2 · fp32", and of a training step what differs from the plainest one.
std::string what_is_measured(const Row& row);

/// Nothing wrong with the row: its status is ok and its check did not fail.
bool is_good(const Row& row);

/// Whether the row has a latency, and right numbers: others are compared with nothing.
bool is_measured(const Row& row);

/// The latency as statistics takes it; NaN for a row without one.
Median median_of(const Row& row);

}  // namespace tpsp
