// All-reduce, all-gather and reduce-scatter between ranks that share memory. Sums are accumulated in fp32 in rank order
// and rounded once, so that every run and every rank has the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "tpsp/core/dtype.h"
#include "tpsp/shm/barrier.h"
#include "tpsp/shm/heap.h"

namespace tpsp {

/// Memory that all ranks of a host share, as mapped by this rank. Zeroed before the first barrier.
class SharedMemory {
 public:
  virtual ~SharedMemory() = default;

  virtual BarrierState& barrier_state() = 0;
  virtual std::size_t heap_bytes() const = 0;  ///< of each rank; SharedCollectives::stage_bytes at least
  virtual std::byte* heap_of(int rank) = 0;    ///< written by that rank alone, except by an in-place all-reduce
  virtual std::size_t common_bytes() const = 0;
  virtual std::byte* common() = 0;  ///< one for all
};

/// One rank's handle. Two kinds of registered memory avoid copies: a partial buffer, in this rank's own heap, which the
/// peers read; and a gathered buffer, the same bytes for all ranks, of which each writes a part. User memory is copied
/// through a small staging buffer in the heap.
///
/// Registered memory is written before its collective, and read by the peers until it is given back. A gathered buffer
/// has the same offset on all ranks. All ranks make the same calls, with memory of the same kinds, and take and give
/// back between the same two calls; throws Error where they do not, and what `check_peer` throws where a rank will not
/// arrive.
class SharedCollectives {
 public:
  /// The staging buffer at the start of each rank's heap, for user memory: two halves, used alternately.
  static constexpr std::size_t stage_bytes = std::size_t{2} << 20;

  SharedCollectives(std::shared_ptr<SharedMemory> memory, int rank, int size, std::function<void(int)> check_peer);

  int rank() const { return barrier_.rank(); }
  int size() const { return barrier_.size(); }
  /// As the barrier's: ranks that wait for this one throw Interrupted.
  void interrupt() { barrier_.interrupt(); }

  /// Null where the arena is full.
  std::byte* alloc_partial(std::size_t bytes);
  std::byte* alloc_gathered(std::size_t bytes);
  void give_back(const std::byte* memory);
  bool is_partial(const void* memory) const;
  bool is_gathered(const void* memory) const;

  /// `sum` may be `partial`; in a gathered buffer each rank sums its share, and all may read it afterwards.
  void all_reduce(Dtype dtype, const void* partial, void* sum, std::size_t count);
  /// `shard` may already be this rank's part of `full`; a gathered `full` may then be split along any dimension.
  void all_gather(const void* shard, void* full, std::size_t shard_bytes);
  /// `full` is this rank's full-size partial; `shard` may be its part of `full`.
  void reduce_scatter(Dtype dtype, const void* full, void* shard, std::size_t shard_count);
  /// Waits for all ranks, which give the same `purpose`, and returns every rank's partial buffer; `partial` must be
  /// one. They stay as they are until it is given back, whatever is called in between.
  std::vector<const std::byte*> exchange_partials(std::string_view purpose, std::size_t bytes, const void* partial);

 private:
  struct Span {
    std::size_t begin;
    std::size_t count;
  };
  struct Chunk {
    std::byte* mine;                      ///< where this rank copies its data
    std::vector<const std::byte*> peers;  ///< the same place of every rank
  };

  Span share_of(std::size_t count) const;
  Chunk chunk(std::size_t number);
  std::uint64_t offset_of(const void* partial) const;
  void wait(OpDescriptor op);
  void wait_at_gathered(std::string_view name, std::size_t bytes, const std::byte* full);
  std::vector<const std::byte*> partials() const;
  void reduce_to_peers(Dtype dtype, std::size_t count);
  void reduce_through_stage(Dtype dtype, const std::byte* partial, std::byte* sum, std::size_t count);

  std::shared_ptr<SharedMemory> memory_;
  Barrier barrier_;
  OffsetHeap partials_;
  OffsetHeap gathered_;
  std::size_t chunks_ = 0;  ///< staged so far; the halves alternate
};

}  // namespace tpsp
