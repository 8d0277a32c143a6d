#pragma once

#include "settings.h"
#include "tpsp/bench/row.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// The memory that this host has.
std::int64_t host_memory_bytes();

/// Fills in where a run is made and with what: run id (rank 0's), hosts, machine, versions, command line. Collective.
void add_provenance(Row& row, const CommandLine& line, World& world);

/// `provenance` with what is known of the case: suite, dtype, device.
Row with_provenance(const Row& prototype, Row provenance);

}  // namespace tpsp
