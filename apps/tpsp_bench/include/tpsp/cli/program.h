// tpsp-bench as a function: parse, validate, run, report.
#pragma once

#include <vector>

#include "tpsp/comm/backend.h"
#include "tpsp/results/columns.h"

namespace tpsp {

/// What the program is made of, and what a test may add to.
struct Parts {
  std::vector<Backend> backends;
  std::vector<Column> columns;
};

/// Runs the program and returns its exit code (core/error.h). Starts MPI when a launcher started the process.
/// Errors become one message from rank 0 on stderr; none leaves a rank waiting.
int run_program(int argc, const char* const* argv, const Parts& parts);

}  // namespace tpsp
