#pragma once

#include "tpsp/bench/row.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// Fills in where a row was made and with what: run id (rank 0's), hosts, versions.
void add_provenance(Row& row, World& world);

}  // namespace tpsp
