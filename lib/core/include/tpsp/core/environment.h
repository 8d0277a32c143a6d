// What the process can learn about where, when and how it was started.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

/// The variable's value, or nothing when it is not set. A variable set to nothing gives "".
std::optional<std::string> environment(const char* name);

/// The names of the variables that begin with `prefix`, sorted.
std::vector<std::string> variables_with(std::string_view prefix);

/// "NAME=value" of the variables that change times or what is measured, sorted: those of OpenMP, MKL, oneDNN, malloc,
/// CUDA, NCCL, Open MPI's transports, UCX, LibTorch and this program. No others, since results are published. Values
/// are as without_home shows them, with spaces for control characters and semicolons, and cut where they are long.
std::vector<std::string> recorded_environment();

/// A path as rows show it: with "~" for the folder that HOME names.
std::string without_home(const std::string& path);

std::string host_name();

/// "2026-11-22T14:03:09Z"
std::string utc_time();

/// "20261122T140309Z-9f3a": the time in UTC and four random hexadecimal digits. Made once, on rank 0.
std::string make_run_id();

/// How the process was started. `mpi` false is one process that MPI knows no others of: started alone, rank 0 of 1, or
/// by an srun without PMIx, whose task it is then.
struct Launch {
  bool mpi = false;
  int rank = 0;
  int size = 1;
};

/// Reads what mpirun (OMPI_COMM_WORLD_*), srun --mpi=pmix (PMIX_RANK with SLURM's task count) or another PMI launcher
/// (PMI_*) sets, or an srun without them (SLURM_STEP_NUM_TASKS). SLURM_NTASKS alone is a batch shell, not a launch.
/// Throws bad_input for values that make no sense.
Launch detect_launch();

}  // namespace tpsp
