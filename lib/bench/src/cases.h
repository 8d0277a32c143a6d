// A case of a sweep of collectives, as its rows show it.
#pragma once

#include "comm_case.h"
#include "tpsp/bench/comm_sweep.h"
#include "tpsp/results/case.h"

namespace tpsp {

Case case_of(const CommSweep& sweep, const CommShape& shape, const ProcessGroup& comm);

}  // namespace tpsp
