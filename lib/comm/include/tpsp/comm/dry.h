// A process group that moves nothing.
#pragma once

#include <cstdint>
#include <limits>
#include <map>

#include "tpsp/comm/process_group.h"
#include "tpsp/shm/heap.h"

namespace tpsp {

/// One rank of a group that is only imagined: sizes and order are as always, no data moves. For previews on meta
/// tensors at any world size, of a transport whose ranks share memory or do not; it then knows the arena that they
/// need.
class DryProcessGroup final : public ProcessGroup {
 public:
  DryProcessGroup(int rank, int size, bool shares_memory = false)
      : rank_(rank), size_(size), shares_memory_(shares_memory) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "dry"; }
  bool shares_memory() const override { return shares_memory_; }
  bool is_shared(const at::Tensor& full) const override { return gathered_.holds(full); }
  at::Tensor alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  at::Tensor alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  void all_reduce(const at::Tensor&, const at::Tensor&) override { meet(); }
  void all_gather(const at::Tensor&, const at::Tensor&) override { meet(); }
  void reduce_scatter(const at::Tensor&, const at::Tensor&) override { meet(); }
  std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial) override;

  /// What `reserve` needs for the calls up to now; no gathered tensors where ranks do not share memory.
  ArenaSizes arena() const { return {partials_.heap.high_water(), gathered_.heap.high_water()}; }

 private:
  /// Tensors whose place in a heap is known, until it is seen that they are gone.
  struct Places {
    OffsetHeap heap{std::numeric_limits<std::size_t>::max()};
    std::map<std::size_t, c10::weak_intrusive_ptr<c10::StorageImpl>> tensors{};

    void add(const at::Tensor& tensor, std::uint64_t epoch);
    void forget_dead(std::uint64_t epoch);
    bool holds(const at::Tensor& tensor) const;
  };
  void meet();

  int rank_;
  int size_;
  bool shares_memory_;
  std::uint64_t epoch_ = 0;
  Places partials_;
  Places gathered_;
};

}  // namespace tpsp
