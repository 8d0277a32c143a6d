// One rank of a group, without the others.
#pragma once

#include "tpsp/comm/backend.h"
#include "tpsp/comm/process_group.h"

namespace tpsp {

/// Rank `rank` of `size`, the only one that runs. A collective is a local move of the sizes that it has among all of
/// them: an all-gather repeats the shard, a reduction keeps this rank's term. So the rank computes, allocates and
/// moves what it would among the others; its results lack their part.
class NullProcessGroup final : public ProcessGroup {
 public:
  NullProcessGroup(int rank, int size) : rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "null"; }
  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override;
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override;
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override;

 private:
  int rank_;
  int size_;
};

/// The backend "null" for that rank: it serves one process, whatever its world.
Backend null_backend(int rank, int size);

}  // namespace tpsp
