// What tells one case from all others, in sixteen hexadecimal digits.
#pragma once

#include <string>

#include "tpsp/bench/sweep.h"

namespace tpsp {

/// A hash (FNV-1a, 64 bits) of the rows' schema, the model's shapes, and every fact of `row` and the protocol that a
/// case follows from, but its plan and which others it takes turns with. The same on all ranks and in every run.
std::string case_id(const Sweep& sweep, const Row& row);

/// The same, and what the plan is called and does.
std::string case_key(const Sweep& sweep, const LoweredPlan& plan, const Row& row);

/// The same two of a collective alone: what tells it from all others but its backend, and with its backend.
std::string comm_case_id(const Protocol& protocol, const Row& row);
std::string comm_case_key(const Protocol& protocol, const Row& row);

}  // namespace tpsp
