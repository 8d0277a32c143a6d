// What memory is used for: tagged by the code that allocates it, read by the allocators that count.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>

namespace tpsp {

enum class MemoryUse {
  activations,  ///< allocations without another tag
  weights,
  logits,       ///< output of the head's GEMM, and its all-gather
  collectives,  ///< output buffers of collectives, and copies made for them; a reduction in place takes none
  saved,        ///< activations that a forward has kept for the backward, until that takes them
  recomputed,   ///< likewise, of a block that the backward computes again
  gradients,    ///< of weights
  optimizer,    ///< moments and master copies
  unit,         ///< whole weights and gradients of the unit at work, where a rank keeps its part of them
};
inline constexpr std::size_t memory_use_count = 9;

/// Bytes by use.
struct MemorySplit {
  std::array<std::int64_t, memory_use_count> bytes{};

  std::int64_t& operator[](MemoryUse use) { return bytes[static_cast<std::size_t>(use)]; }
  std::int64_t operator[](MemoryUse use) const { return bytes[static_cast<std::size_t>(use)]; }
  std::int64_t total() const { return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0}); }
};

/// Counts tensors' memory that was not taken from an allocator: an allocator that counts is one of these.
class MemoryCounter {
 public:
  virtual ~MemoryCounter() = default;

  /// Counts `bytes` for the thread's current use, until the ticket is gone.
  virtual std::shared_ptr<void> count(std::int64_t bytes) = 0;
  /// Counts memory that it has given out, whose DataPtr has this context and deleter, for `to` from now on. Does
  /// nothing where that memory is another's, or was not for `from`.
  virtual void recount(void* context, void (*deleter)(void*), MemoryUse from, MemoryUse to) = 0;
};

/// What this thread allocates is for, now.
MemoryUse current_memory_use();

/// Tags this thread's allocations while the object lives. Of nested tags the outermost counts.
class MemoryScope {
 public:
  explicit MemoryScope(MemoryUse use);
  ~MemoryScope();
  MemoryScope(const MemoryScope&) = delete;
  MemoryScope& operator=(const MemoryScope&) = delete;

 private:
  MemoryUse before_;
};

}  // namespace tpsp
