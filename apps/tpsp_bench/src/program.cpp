#include "tpsp/cli/program.h"

#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "commands.h"
#include "measuring.h"
#include "stop_request.h"
#include "tpsp/core/environment.h"
#include "tpsp/core/error.h"
#include "tpsp/core/log.h"

namespace tpsp {
namespace {

void say_error(int rank, const std::string& message) {
  if (rank == 0) fmt::print(stderr, "tpsp-bench: error: {}\n", message);
}

void warn_of_variables(const CommandLine& line, int rank) {
  if (rank != 0 || line.output) return;
  const auto log = make_logger(rank, log_level(line));
  for (const auto& warning : unknown_variables()) log->warn("{}", warning);
}

/// For what is thrown between `agree` calls: the other ranks do not know and may be waiting. Does not return.
[[noreturn]] void end_all_ranks(World& world, ExitCode code, const std::string& message) {
  fmt::print(stderr, "tpsp-bench: error: rank {}: {}\n", world.rank(), message);
  std::fflush(nullptr);
  world.abort(code);
  std::_Exit(static_cast<int>(code));  // not reached; abort is virtual, which g++ 12 does not see through
}

// No destructor runs, since the ranks would meet in them.
StallActions end_stalled_run(World& world) {
  const auto end = [&world] { world.abort(ExitCode::timed_out); };
  return {.end =
              [end](const Stall& stall) {
                for (const auto& line : stall.reports) fmt::print(stderr, "tpsp-bench: {}\n", line);
                fmt::print(stderr,
                           "tpsp-bench: error: timed out: {} (rows that are finished are kept); look at that rank, or "
                           "give the run more time with --timeout\n",
                           stall.verdict);
                end();
              },
          .give_up = end};
}

// All ranks read the same arguments and files; what only some of them fail at is still everybody's failure.
ExitCode run_ranks(int argc, const char* const* argv, const Parts& parts, World& world) {
  CommandLine line;
  Watchdog watchdog(world, end_stalled_run(world));
  watchdog.set_timeout(shortest_timeout_s);
  try {
    agree(world, [&] { line = parse_command_line(argc, argv); });
    warn_of_variables(line, world.rank());
    return line.command == Command::comm ? comm_command(line, parts, world, watchdog)
                                         : bench_command(line, parts, world, watchdog);
  } catch (const AgreedError& error) {
    say_error(world.rank(), error.what());
    return error.code();
  } catch (const Error& error) {
    end_all_ranks(world, error.code(), error.what());
  } catch (const std::exception& error) {
    end_all_ranks(world, ExitCode::rows_not_ok, message_of(error));
  }
}

ExitCode run_command(const CommandLine& line, const Parts& parts) {
  if (line.output) {
    fmt::print("{}", *line.output);
    return ExitCode::ok;
  }
  switch (line.command) {
    case Command::plan: plan_command(line); break;
    case Command::compare: return compare_command(line, parts);
    case Command::report: report_command(line, parts); break;
    case Command::merge: merge_command(line, parts); break;
    case Command::columns:
      fmt::print("{}", line.flags.contains("json") ? columns_json(parts.columns) : columns_help(parts.columns));
      break;
    case Command::info: info_command(line, parts); break;
    case Command::bench:
    case Command::comm: break;  // not alone
  }
  return ExitCode::ok;
}

// Commands that one process runs by itself; under a launcher, rank 0 prints and the others are silent.
ExitCode run_alone(const CommandLine& line, const Parts& parts, int rank) {
  auto code = ExitCode::ok;
  warn_of_variables(line, rank);
  try {
    if (rank == 0) code = run_command(line, parts);
    if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category());
  } catch (const std::system_error& error) {  // fmt's and ours, both of a write
    throw Error(ExitCode::output_failed, {.where = "stdout",
                                          .what = "cannot be written",
                                          .why = error.code().message(),
                                          .remedy = "see where it is sent"});
  }
  return code;
}

// A launcher that this MPI does not understand starts many programs that each think they are alone.
void check_size(const Launch& launch, const World& world) {
  if (world.size() == launch.size) return;
  throw bad_input({.where = "launcher",
                   .what = fmt::format("it started {} ranks, and MPI knows of {}", launch.size, world.size()),
                   .why = mpi_version() + " does not speak its protocol",
                   .remedy = "use this MPI's mpirun, or srun --mpi=pmix"});
}

bool needs_ranks(int argc, const char* const* argv) {
  try {
    const auto line = parse_command_line(argc, argv);
    return !line.output && (line.command == Command::bench || line.command == Command::comm);
  } catch (const Error&) {
    return true;  // the ranks say so together
  }
}

}  // namespace

int run_program(int argc, const char* const* argv, const Parts& parts) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error that append reports
  take_stop_requests();
  int rank = 0;
  try {
    const auto launch = detect_launch();
    rank = launch.rank;
    if (!needs_ranks(argc, argv)) {
      return static_cast<int>(run_alone(parse_command_line(argc, argv), parts, rank));
    }
    const auto world = launch.mpi ? make_mpi_world() : std::make_unique<SerialWorld>();
    check_size(launch, *world);
    return static_cast<int>(run_ranks(argc, argv, parts, *world));
  } catch (const Error& error) {
    say_error(rank, error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    say_error(rank, message_of(error));
    return static_cast<int>(ExitCode::rows_not_ok);
  }
}

}  // namespace tpsp
