#include "tpsp/shm/heap.h"

#include <algorithm>

namespace tpsp {

std::optional<std::size_t> OffsetHeap::take(std::size_t bytes, std::uint64_t epoch) {
  std::erase_if(blocks_, [&](const auto& entry) {
    const auto& given_back = entry.second.given_back;
    return given_back && *given_back < epoch;
  });
  if (bytes > capacity_) return std::nullopt;
  const auto needed = std::max(bytes, std::size_t{1}) + alignment - 1;
  const auto rounded = needed / alignment * alignment;
  std::size_t offset = 0;
  for (const auto& [start, block] : blocks_) {
    if (start - offset >= rounded) break;
    offset = start + block.bytes;
  }
  if (capacity_ < rounded || offset > capacity_ - rounded) return std::nullopt;
  blocks_.emplace(offset, Block{.bytes = rounded, .given_back = {}});
  high_water_ = std::max(high_water_, offset + rounded);
  return offset;
}

void OffsetHeap::give_back(std::size_t offset, std::uint64_t epoch) { blocks_.at(offset).given_back = epoch; }

// Blocks are in the order of their offsets, whichever was taken first.
std::uint64_t OffsetHeap::fingerprint() const {
  std::uint64_t hash = 0;
  for (const auto& [offset, block] : blocks_) {
    if (!block.given_back) hash = (hash ^ (offset + 1)) * 0x9E3779B97F4A7C15U;
  }
  return hash;
}

}  // namespace tpsp
