#pragma once

#include <mpi.h>

#include <string_view>

namespace tpsp {

/// Throws Error(rows_not_ok) with the call's text and MPI's message unless `result` is success.
void check_mpi(int result, std::string_view call);

}  // namespace tpsp

#define TPSP_MPI(call) ::tpsp::check_mpi((call), #call)
