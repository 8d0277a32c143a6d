#pragma once

#include <string>

#include "tpsp/results/compare.h"

namespace tpsp {

/// A table of at most 80 columns: the notes, a line for each pair, the rows that pair with nothing, and the counts of
/// the verdicts.
std::string comparison_table(const Comparison& comparison, bool color);

}  // namespace tpsp
