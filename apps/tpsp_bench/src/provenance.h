#pragma once

#include <string>

#include "settings.h"
#include "tpsp/bench/row.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// "0.1.0+1a2b3c4d5e": the version and the commit of its sources; see cmake/SourceRevision.cmake.
std::string program_version();

/// The memory that this host has.
std::int64_t host_memory_bytes();

/// Fills in where a run is made and with what: run id (rank 0's), hosts, machine, versions, command line. Collective.
void add_provenance(Row& row, const CommandLine& line, World& world);

/// `provenance` with what is known of the case: suite, dtype, device.
Row with_provenance(const Row& prototype, Row provenance);

}  // namespace tpsp
