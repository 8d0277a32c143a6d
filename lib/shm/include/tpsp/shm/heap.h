// An allocator of offsets in an arena that the ranks share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace tpsp {

/// Hands out offsets, first fit. Ranks that take in the same order, and give back between the same two barriers, get
/// the same offsets.
///
/// A block that is given back may still be read by a slower peer. It is handed out again only in a later epoch: after
/// this rank's next barrier all peers have come to where they give theirs back, since all do so between the same two
/// barriers.
class OffsetHeap {
 public:
  static constexpr std::size_t alignment = 4096;

  explicit OffsetHeap(std::size_t capacity) : capacity_(capacity) {}

  /// Nothing where no gap is large enough.
  std::optional<std::size_t> take(std::size_t bytes, std::uint64_t epoch);
  void give_back(std::size_t offset, std::uint64_t epoch);

  /// The largest capacity that the calls up to now have needed.
  std::size_t high_water() const { return high_water_; }
  /// The same for ranks that hold the same blocks; 0 where none is out.
  std::uint64_t fingerprint() const;

 private:
  struct Block {
    std::size_t bytes;
    std::optional<std::uint64_t> given_back;  ///< the epoch
  };

  std::size_t capacity_;
  std::size_t high_water_ = 0;
  std::map<std::size_t, Block> blocks_;  ///< by offset
};

}  // namespace tpsp
