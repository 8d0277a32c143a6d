#pragma once

#include "tpsp/comm/world.h"

namespace tpsp {

/// Threads for one rank: the cores it is bound to, or, when it may run on all, its share among the host's ranks.
int default_threads(const World& world);

}  // namespace tpsp
