// What tells one case from all others, in sixteen hexadecimal digits.
#pragma once

#include <string>

#include "tpsp/bench/sweep.h"

namespace tpsp {

/// A hash (FNV-1a, 64 bits) of the rows' schema, the model's shapes, what the plan does, and every fact of `row` and
/// the protocol that a case follows from. The same on all ranks and in every run of the same case.
std::string case_key(const Sweep& sweep, const LoweredPlan& plan, const Row& row);

}  // namespace tpsp
