// The three collectives that tensor and sequence parallelism need.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

enum class Collective { all_reduce, all_gather, reduce_scatter };
std::string_view to_string(Collective kind);

/// Bytes that each of `ranks` ranks sends in a bandwidth-optimal algorithm, for a full buffer of `full_bytes`:
/// all-reduce 2(t-1)/t V, all-gather and reduce-scatter (t-1)/t V (Thakur et al., 2005).
std::int64_t bytes_sent(Collective kind, std::int64_t full_bytes, int ranks);

/// Up to so many ranks, every rank reads all partials of an all-reduce; more of them share the summing.
inline constexpr int max_ranks_reading_all_partials = 2;

/// Bytes for tensors that collectives read and write without a copy.
struct ArenaSizes {
  std::size_t partial_bytes = 0;   ///< a rank
  std::size_t gathered_bytes = 0;  ///< for all ranks of a host together

  /// Enough for the one or the other.
  ArenaSizes max(const ArenaSizes& other) const {
    return {std::max(partial_bytes, other.partial_bytes), std::max(gathered_bytes, other.gathered_bytes)};
  }
  bool operator==(const ArenaSizes&) const = default;
};

/// Collectives over one group of ranks. Tensors are contiguous, float32 or bfloat16, on the process group's device;
/// all ranks call in the same order with the same sizes, and allocate and release between the same two calls. Throws
/// Error when the transport fails.
///
/// Calls are synchronous for the host on CPU tensors and stream-ordered on CUDA tensors.
class ProcessGroup {
 public:
  virtual ~ProcessGroup() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string_view backend() const = 0;

  /// What its transport says has gone wrong, where that can be asked while a collective is under way, from any thread.
  virtual std::optional<std::string> failure() const { return std::nullopt; }

  /// Whether ranks that wait in a collective can be called off.
  virtual bool can_interrupt() const { return false; }
  /// This rank calls no collective any more: the others, in one or coming to one, throw Interrupted. Not collective.
  virtual void interrupt() {}
  /// As new, after an interruption that all ranks know of. No tensor of its memory may be alive. Collective.
  virtual void reset() {}

  /// Reserves the arena for the `alloc_partial` and `alloc_gathered` tensors that will be alive at once, so that taking
  /// them takes no memory from the system. None may be alive. Collective.
  virtual void reserve(const ArenaSizes& sizes);
  /// Memory for this rank's partial of a sum: a GEMM's result written into it is reduced without a copy. It is written
  /// once, before its collective: peers may read it until it is released.
  virtual at::Tensor alloc_partial(at::IntArrayRef sizes, const at::TensorOptions& options);
  /// Memory for a value that the ranks fill, each its own block, and read once all_gather has returned. It may be one
  /// memory for all ranks: nobody writes into it after that.
  virtual at::Tensor alloc_gathered(at::IntArrayRef sizes, const at::TensorOptions& options);
  /// Whether all ranks see one memory.
  virtual bool shares_memory() const { return false; }
  /// Whether `full` lies in it, so that gathering it moves nothing, however it was sharded. It does not once the arena
  /// is full.
  virtual bool is_shared(const at::Tensor& full) const;

  /// `sum` becomes the sum of the ranks' partials. It may be the partial itself, or an `alloc_gathered`, which is then
  /// read-only.
  virtual void all_reduce(const at::Tensor& partial, const at::Tensor& sum) = 0;
  /// Concatenates the ranks' shards in `full`; full.numel() == size() * shard.numel(). A shard that
  /// lies at its place in `full` is not copied.
  virtual void all_gather(const at::Tensor& shard, const at::Tensor& full) = 0;
  /// Sums `full` over the ranks; rank r receives the r-th of size() equal blocks in `shard`,
  /// which does not overlap `full`.
  virtual void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) = 0;

  /// An all_reduce or reduce_scatter of `partial`, left for the consumer to finish while it reads: the result is the
  /// sum of these tensors, in this order and in fp32. They are read-only leases of the peers' memory: it stays as it is
  /// for as long as they live, whatever collectives run meanwhile. Where ranks do not see each other's memory it is one
  /// tensor, the finished sum.
  virtual std::vector<at::Tensor> defer_reduction(Collective kind, const at::Tensor& partial);
};

}  // namespace tpsp
