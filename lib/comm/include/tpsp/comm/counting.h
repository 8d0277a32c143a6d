// A communicator that counts what passes through it, and one that moves nothing at all.
#pragma once

#include <cstdint>
#include <limits>
#include <map>

#include "tpsp/comm/forwarding.h"
#include "tpsp/shm/heap.h"

namespace tpsp {

struct CommCounts {
  std::int64_t all_reduces = 0;
  std::int64_t all_gathers = 0;
  std::int64_t reduce_scatters = 0;
  std::int64_t bytes = 0;  ///< sent by this rank, as `bytes_sent` says

  bool operator==(const CommCounts&) const = default;
};

/// Counts calls and bytes, and passes every call on. `inner` outlives it.
class CountingCommunicator final : public ForwardingCommunicator {
 public:
  explicit CountingCommunicator(Communicator& inner) : ForwardingCommunicator(inner) {}

  void all_reduce(const at::Tensor& addend, const at::Tensor& sum) override;
  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override;
  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override;
  std::vector<at::Tensor> addends(Collective kind, const at::Tensor& partial) override;

  const CommCounts& counts() const { return counts_; }
  void reset() { counts_ = {}; }

 private:
  void count(Collective kind, const at::Tensor& whole);

  CommCounts counts_;
};

/// One rank of a group that is only imagined: sizes and order are as always, no data moves. For previews on meta
/// tensors at any world size, of a transport whose ranks share memory or do not; it then knows the room that they need.
class DryCommunicator final : public Communicator {
 public:
  DryCommunicator(int rank, int size, bool shares_memory = false)
      : rank_(rank), size_(size), shares_memory_(shares_memory) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "dry"; }
  bool shares_memory() const override { return shares_memory_; }
  bool is_shared(const at::Tensor&) const override { return shares_memory_; }
  at::Tensor new_partial(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  at::Tensor new_whole(at::IntArrayRef sizes, const at::TensorOptions& options) override;
  void all_reduce(const at::Tensor&, const at::Tensor&) override { meet(); }
  void all_gather(const at::Tensor&, const at::Tensor&) override { meet(); }
  void reduce_scatter(const at::Tensor&, const at::Tensor&) override { meet(); }
  std::vector<at::Tensor> addends(Collective kind, const at::Tensor& partial) override;

  /// What `reserve` needs to be told for the calls up to now; no wholes where ranks do not share memory.
  Room room() const { return {partials_.heap.high_water(), wholes_.heap.high_water()}; }

 private:
  /// Tensors whose place in a heap is known, until it is seen that they are gone.
  struct Places {
    OffsetHeap heap{std::numeric_limits<std::size_t>::max()};
    std::map<std::size_t, c10::weak_intrusive_ptr<c10::StorageImpl>> tensors{};

    void add(const at::Tensor& tensor, std::uint64_t epoch);
    void forget_dead(std::uint64_t epoch);
  };
  void meet();

  int rank_;
  int size_;
  bool shares_memory_;
  std::uint64_t epoch_ = 0;
  Places partials_;
  Places wholes_;
};

}  // namespace tpsp
