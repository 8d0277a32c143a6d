// The subcommands. Each returns the program's exit code.
#pragma once

#include "settings.h"
#include "tpsp/cli/program.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// Measures: collective, on all ranks.
ExitCode bench_command(const CommandLine& line, const Parts& parts, World& world);
/// Prints previews: one process.
ExitCode plan_command(const CommandLine& line);
/// Prints the build and the machine: one process.
ExitCode info_command(const Parts& parts);

}  // namespace tpsp
