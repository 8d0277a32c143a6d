// Processes of one host in memory that all of them see.
#include <fmt/format.h>

#include "../mpi_host.h"
#include "../mpi_world.h"
#include "tpsp/comm/backend.h"

namespace tpsp {
namespace {

std::optional<std::string> refusal(const World& world, at::Device device) {
  if (!device.is_cpu()) return "shm is for tensors in host memory";
  if (mpi_comm(world) == MPI_COMM_NULL) return "shm needs ranks started by mpirun or srun";
  if (world.local_size() != world.size()) {
    return fmt::format("shm is for the ranks of one host, and {} of {} are on this one", world.local_size(),
                       world.size());
  }
  if (world.size() > most_shm_ranks) return fmt::format("shm is for up to {} ranks", most_shm_ranks);
  return std::nullopt;
}

}  // namespace

Backend shm_backend() {
  return {.name = "shm",
          .meaning = "ranks of one host, in memory that all of them see",
          .preference = 35,
          .shares_memory = true,
          .refusal = refusal,
          .make = [](World& world, at::Device) {
            return std::make_unique<ShmProcessGroup>(std::make_unique<MpiHost>(world, "shm"), "shm");
          }};
}

}  // namespace tpsp
