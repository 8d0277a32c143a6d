// All-reduce, all-gather and reduce-scatter between ranks that see one memory. Sums are made in fp32 in rank order and
// rounded once, so that every run and every rank has the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "tpsp/shm/heap.h"
#include "tpsp/shm/meeting.h"

namespace tpsp {

enum class Element { fp32, bf16 };
std::size_t bytes_of(Element element);

/// Memory that all ranks of a host see, as this rank sees it. Zeroed before the first rank meets another.
class SharedMemory {
 public:
  virtual ~SharedMemory() = default;

  virtual MeetingPlace& place() = 0;
  virtual std::size_t heap_bytes() const = 0;  ///< of each rank; SharedCollectives::stage_bytes at least
  virtual std::byte* heap_of(int rank) = 0;    ///< written by that rank alone, but in an all-reduce in place
  virtual std::size_t common_bytes() const = 0;
  virtual std::byte* common() = 0;  ///< one for all
};

/// One rank's side. Two kinds of memory spare copies: `partial`, in this rank's own heap, which the peers read; and
/// `whole`, the same bytes for all ranks, of which each writes a part. Any other memory will do and is copied through a
/// small buffer in the heap.
///
/// A `partial` is written once: a peer may read it until the next call. So is a `whole`, which all ranks put at the
/// same place. All ranks call the same, with memory of the same kinds; throws Error where they do not, and what
/// `look_after_peers` throws where one will not come.
class SharedCollectives {
 public:
  /// Kept at the start of each rank's heap, for what lies elsewhere: two halves that take turns.
  static constexpr std::size_t stage_bytes = std::size_t{2} << 20;

  SharedCollectives(std::shared_ptr<SharedMemory> memory, int rank, int size,
                    std::function<void(int)> look_after_peers);

  int rank() const { return meeting_.rank(); }
  int size() const { return meeting_.size(); }

  /// Null where there is no room. All ranks take and give back in the same order.
  std::byte* take_partial(std::size_t bytes);
  std::byte* take_whole(std::size_t bytes);
  void give_back(const std::byte* memory);
  bool is_partial(const void* memory) const;
  bool is_whole(const void* memory) const;

  /// `sum` may be `addend`; in a `whole` each rank sums its share, and all may read it afterwards.
  void all_reduce(Element element, const void* addend, void* sum, std::size_t count);
  /// `shard` may lie in `whole`, at its place already; a `whole` may be cut in any way then.
  void all_gather(const void* shard, void* whole, std::size_t shard_bytes);
  /// `shard` may be its place in `whole`.
  void reduce_scatter(Element element, const void* whole, void* shard, std::size_t shard_count);
  /// Waits for all ranks, come for the same `purpose`, and gives every rank's `partial`, which must be one. They may be
  /// read until the next call.
  std::vector<const std::byte*> exchange_partials(std::string_view purpose, std::size_t bytes, const void* partial);

 private:
  struct Span {
    std::size_t begin;
    std::size_t count;
  };
  struct Chunk {
    std::byte* mine;                      ///< where this rank copies to
    std::vector<const std::byte*> peers;  ///< the same place of every rank
  };

  Span share_of(std::size_t count) const;
  Chunk chunk(std::size_t turn);
  std::uint64_t offset_of(const void* partial) const;
  void meet_at_whole(std::string_view name, std::size_t bytes, const std::byte* whole);
  std::vector<const std::byte*> partials() const;
  void reduce_to_peers(Element element, std::size_t count);
  void reduce_through_stage(Element element, const std::byte* addend, std::byte* sum, std::size_t count);

  std::shared_ptr<SharedMemory> memory_;
  Meeting meeting_;
  OffsetHeap partials_;
  OffsetHeap wholes_;
  std::size_t turns_ = 0;  ///< of the stage's halves
};

}  // namespace tpsp
