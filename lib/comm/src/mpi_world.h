// A World of MPI's, and the communicator behind it.
#pragma once

#include <mpi.h>

#include "tpsp/comm/world.h"

namespace tpsp {

/// The ranks of one MPI communicator.
class MpiWorld : public World {
 public:
  /// Takes `comm` over. Collective.
  explicit MpiWorld(MPI_Comm comm);
  ~MpiWorld() override;
  MpiWorld(const MpiWorld&) = delete;
  MpiWorld& operator=(const MpiWorld&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_rank() const override { return local_rank_; }
  int local_size() const override { return local_size_; }
  bool has_even_hosts() const override { return even_hosts_; }
  std::vector<std::string> exchange(const std::string& mine) override;
  void barrier() override;
  std::unique_ptr<World> split(int color) override;
  std::unique_ptr<SideChannel> side_channel() override;
  [[noreturn]] void abort(ExitCode code) noexcept override;

  MPI_Comm comm() const { return comm_; }

 private:
  bool compare_hosts() const;

  MPI_Comm comm_;
  int rank_ = 0;
  int size_ = 1;
  int local_rank_ = 0;
  int local_size_ = 1;
  bool even_hosts_ = true;
};

/// The communicator of a world's ranks; MPI_COMM_NULL where they are no ranks of MPI's.
MPI_Comm mpi_comm(const World& world);

}  // namespace tpsp
