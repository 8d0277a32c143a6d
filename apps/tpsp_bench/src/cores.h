#pragma once

#include "tpsp/comm/world.h"

namespace tpsp {

struct Cores {
  int mine = 1;  ///< this rank's share of the cores it may run on
  int host = 1;  ///< all that the host has
};

/// The cores in this rank's affinity mask, divided by the ranks of the host that have the same mask. Collective.
Cores count_cores(World& world);

}  // namespace tpsp
