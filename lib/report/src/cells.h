// The cells of the terminal table as text, each as short as its field is wide.
#pragma once

#include <optional>
#include <string>

#include "tpsp/core/width.h"
#include "tpsp/results/row.h"

namespace tpsp {

std::string latency_cell(const Row& row);  ///< "12.34 ms"
std::string noise_cell(const Row& row);    ///< "0.4%": half of the median's 95% interval over the median
std::string versus_cell(const Row& row);   ///< "= 1.003": the verdict's sign, and the time over the baseline's
std::string check_cell(const Row& row);    ///< "pass 3e-07", "FAIL 2e-01", or the status of a row that is not ok

// Of a collective, in nccl-tests' units.
std::string microseconds_cell(const Row& row);                         ///< "1234.56"
std::string gigabytes_cell(const std::optional<double>& bytes_per_s);  ///< "12.34", of 1e9 bytes a second
std::string wrong_cell(const Row& row);  ///< elements that are wrong, or the status of a row that was not measured

/// "1.003", "12.35": a ratio in at most six characters.
std::string ratio_text(double ratio);

}  // namespace tpsp
