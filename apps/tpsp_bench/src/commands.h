// The subcommands.
#pragma once

#include "settings.h"
#include "tpsp/cli/program.h"
#include "tpsp/comm/watchdog.h"
#include "tpsp/comm/world.h"

namespace tpsp {

/// Measures: collective, on all ranks. Returns the program's exit code.
ExitCode bench_command(const CommandLine& line, const Parts& parts, World& world, Watchdog& watchdog);
/// Measures collectives alone: collective, on all ranks. Returns the program's exit code.
ExitCode comm_command(const CommandLine& line, const Parts& parts, World& world, Watchdog& watchdog);
/// Prints previews: one process.
void plan_command(const CommandLine& line);
/// Compares two results files: one process. Returns 3 where --fail-on says so.
ExitCode compare_command(const CommandLine& line, const Parts& parts);
/// Writes the page of a results file: one process.
void report_command(const CommandLine& line, const Parts& parts);
/// Writes the rows of several results files into one: one process.
void merge_command(const CommandLine& line, const Parts& parts);
/// Prints the build and the machine, with --peaks what it can do: one process.
void info_command(const CommandLine& line, const Parts& parts);

}  // namespace tpsp
