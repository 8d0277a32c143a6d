// A communicator that counts what passes through it, and one that moves nothing at all.
#pragma once

#include <cstdint>

#include "tpsp/comm/communicator.h"

namespace tpsp {

struct CommCounts {
  std::int64_t all_reduces = 0;
  std::int64_t all_gathers = 0;
  std::int64_t reduce_scatters = 0;
  std::int64_t bytes = 0;  ///< sent by this rank, as `bytes_sent` says

  bool operator==(const CommCounts&) const = default;
};

/// Counts calls and bytes, and passes every call on. `inner` outlives it.
class CountingCommunicator final : public Communicator {
 public:
  explicit CountingCommunicator(Communicator& inner) : inner_(inner) {}

  int rank() const override { return inner_.rank(); }
  int size() const override { return inner_.size(); }
  std::string_view backend() const override { return inner_.backend(); }
  void all_reduce(const at::Tensor& buffer) override;
  void all_gather(const at::Tensor& shard, const at::Tensor& whole) override;
  void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) override;

  const CommCounts& counts() const { return counts_; }
  void reset() { counts_ = {}; }

 private:
  Communicator& inner_;
  CommCounts counts_;
};

/// One rank of a group that is only imagined: sizes and order are as always, no data moves. For previews on meta
/// tensors at any world size.
class DryCommunicator final : public Communicator {
 public:
  DryCommunicator(int rank, int size) : rank_(rank), size_(size) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "dry"; }
  void all_reduce(const at::Tensor&) override {}
  void all_gather(const at::Tensor&, const at::Tensor&) override {}
  void reduce_scatter(const at::Tensor&, const at::Tensor&) override {}

 private:
  int rank_;
  int size_;
};

}  // namespace tpsp
