// The three collectives that tensor and sequence parallelism need.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace tpsp {

enum class Collective { all_reduce, all_gather, reduce_scatter };
std::string_view to_string(Collective kind);

/// Bytes that each of `ranks` ranks sends in a bandwidth-optimal algorithm, for a whole buffer of `whole_bytes`:
/// all-reduce 2(t-1)/t V, all-gather and reduce-scatter (t-1)/t V (Thakur et al., 2005).
std::int64_t bytes_sent(Collective kind, std::int64_t whole_bytes, int ranks);

/// Collectives over one group of ranks. Tensors are contiguous, float32 or bfloat16, on the communicator's device;
/// all ranks call in the same order with the same sizes. Throws Error when the transport fails.
///
/// Calls are synchronous for the host on CPU tensors and stream-ordered on CUDA tensors.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string_view backend() const = 0;

  /// Replaces `buffer` by its sum over the ranks.
  virtual void all_reduce(const at::Tensor& buffer) = 0;
  /// Lays the ranks' shards one after the other into `whole`; whole.numel() == size() * shard.numel().
  virtual void all_gather(const at::Tensor& shard, const at::Tensor& whole) = 0;
  /// Sums `whole` over the ranks; rank r receives the r-th of size() equal blocks in `shard`.
  virtual void reduce_scatter(const at::Tensor& whole, const at::Tensor& shard) = 0;
};

}  // namespace tpsp
