// The clock that measurements read.
#pragma once

#include <functional>

namespace tpsp {

/// Seconds since some moment.
using Clock = std::function<double()>;

/// Of std::chrono::steady_clock; comparable between the processes of a host.
double steady_clock_s();

}  // namespace tpsp
