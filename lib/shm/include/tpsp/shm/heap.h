// Who has which bytes of a piece of memory that the ranks see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

namespace tpsp {

/// Hands out offsets, first fit. Ranks that take and give back in the same order get the same offsets.
///
/// What is given back may still be read by a peer that is behind. It is handed out again only in a later epoch: when
/// this rank has met the others once more, all of them have left the reading behind them.
class OffsetHeap {
 public:
  static constexpr std::size_t alignment = 4096;

  explicit OffsetHeap(std::size_t capacity) : capacity_(capacity) {}

  /// Nothing where there is no room.
  std::optional<std::size_t> take(std::size_t bytes, std::uint64_t epoch);
  void give_back(std::size_t offset, std::uint64_t epoch);

  /// The largest capacity that the calls up to now have needed.
  std::size_t high_water() const { return high_water_; }
  bool is_empty() const;

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
