// SharedMemory for ranks that are threads of one process.
#pragma once

#include <vector>

#include "tpsp/shm/collectives.h"

namespace tpsp {

/// One for all ranks, which share its ownership. Zeroed, each part aligned to a cache line.
class ProcessMemory final : public SharedMemory {
 public:
  /// In bytes, a heap for each rank.
  ProcessMemory(int ranks, std::size_t heap_bytes, std::size_t common_bytes);

  BarrierState& barrier_state() override { return state_; }
  std::size_t heap_bytes() const override { return heap_bytes_; }
  std::byte* heap_of(int rank) override { return start_of(heaps_[static_cast<std::size_t>(rank)]); }
  std::size_t common_bytes() const override { return common_bytes_; }
  std::byte* common() override { return start_of(common_); }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  static std::size_t lines_for(std::size_t bytes) { return (bytes + sizeof(Line) - 1) / sizeof(Line); }
  static std::byte* start_of(std::vector<Line>& lines) { return reinterpret_cast<std::byte*>(lines.data()); }

  BarrierState state_{};
  std::vector<std::vector<Line>> heaps_;
  std::vector<Line> common_;
  std::size_t heap_bytes_;
  std::size_t common_bytes_;
};

}  // namespace tpsp
