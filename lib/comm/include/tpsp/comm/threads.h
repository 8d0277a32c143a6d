// Ranks as threads of one process, for tests and for machines without MPI.
#pragma once

#include <functional>

#include "tpsp/comm/world.h"

namespace tpsp {

/// Calls `body` on `size` threads at once, each with its own World of that size. When one throws, the others are
/// woken from their next collective; the lowest rank's own exception is rethrown.
void run_threads(int size, const std::function<void(World&)>& body);

}  // namespace tpsp
