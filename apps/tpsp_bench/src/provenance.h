#pragma once

#include <string>

#include "settings.h"
#include "tpsp/comm/world.h"
#include "tpsp/results/row.h"

namespace tpsp {

/// "0.1.0+1a2b3c4d5e": the version and the commit of its sources; see cmake/SourceRevision.cmake.
std::string program_version();

/// The memory that this host has.
std::int64_t host_memory_bytes();

/// What runs, as a line for require_same: its version and a hash of its file.
std::string program_fact();

/// Where a run is made and with what: run id (rank 0's), hosts, machine, versions, command line, environment. One whose
/// ranks have different values of a variable that is recorded is warned of. Collective.
Provenance provenance_of(const CommandLine& line, World& world);

}  // namespace tpsp
