// The ranks of one host, as MPI reports them, and the memory that they share.
#pragma once

#include <mpi.h>

#include <memory>
#include <string>
#include <vector>

#include "shm_process_group.h"
#include "tpsp/comm/world.h"

namespace tpsp {

class MpiHost final : public ShmHost {
 public:
  /// The ranks of this host, which are consecutive ones of the world's. `name`: the backend's, for messages.
  /// Collective over the world.
  MpiHost(World& world, std::string name);
  ~MpiHost() override;
  MpiHost(const MpiHost&) = delete;
  MpiHost& operator=(const MpiHost&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::shared_ptr<SharedMemory> make_memory(std::size_t heap_bytes, std::size_t common_bytes) override;
  void check_peer(int peer) override;

 private:
  int world_rank_of(int peer) const { return world_rank_ - rank_ + peer; }

  std::string name_;
  int world_rank_;
  MPI_Comm host_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
  std::vector<int> processes_;  ///< 0 for one that can not be looked after
};

}  // namespace tpsp
