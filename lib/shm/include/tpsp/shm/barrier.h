// A barrier for the ranks of a host, in memory that they share. Each rank arrives with an op descriptor, and the
// barrier checks that all of them agree.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string_view>

namespace tpsp {

inline constexpr int most_shm_ranks = 64;

/// The collective call that a rank arrives with. Plain bytes, since the peers may be other processes.
struct OpDescriptor {
  std::array<char, 24> name{};  ///< "reduce-scatter"
  std::uint64_t bytes = 0;      ///< of the full buffer; the same on all ranks
  std::uint64_t offset = 0;     ///< of this rank's partial in its own heap, where it is there
  std::uint64_t place =
      0;  ///< 1 + the offset of the result in the common memory, 0 for user memory; the same on all ranks
  std::uint64_t held = 0;  ///< names the blocks of registered memory that this rank holds; the same on all ranks
};
OpDescriptor describe(std::string_view name, std::uint64_t bytes, std::uint64_t offset = 0);

/// The shared state of a Barrier. Zeroed bytes are its initial state: no rank has arrived.
struct BarrierState {
  struct alignas(128) Slot {  // two cache lines: processors prefetch them in pairs
    std::atomic<std::uint64_t> arrived;
    std::array<OpDescriptor, 2> ops;  ///< of this epoch and of the one before, which slower peers may still read
  };
  std::array<Slot, most_shm_ranks> slots;
  std::atomic<std::uint32_t> interrupted;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// One rank's handle to it.
class Barrier {
 public:
  /// `check_peer` is called periodically while this rank waits, with a rank that has not arrived; it throws when
  /// that rank never will. `state` outlives the barrier.
  Barrier(BarrierState& state, int rank, int size, std::function<void(int)> check_peer);

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// The number of barriers that this rank has arrived at.
  std::uint64_t epoch() const { return epoch_; }

  /// Waits until all ranks have arrived; what each wrote before is then visible to all. Throws Error where another
  /// rank's descriptor differs, and Interrupted where one will not arrive.
  void wait(const OpDescriptor& mine);
  /// This rank arrives at no barrier any more. The state is of no more use.
  void interrupt() { state_.interrupted.store(1, std::memory_order_release); }
  /// The descriptor of `peer` at the last barrier; valid until the next.
  const OpDescriptor& op_of(int peer) const;

 private:
  BarrierState::Slot& slot(int rank) const { return state_.slots[static_cast<std::size_t>(rank)]; }
  void wait_for(int peer) const;
  void compare(const OpDescriptor& mine, int peer) const;

  BarrierState& state_;
  int rank_;
  int size_;
  std::function<void(int)> check_peer_;
  std::uint64_t epoch_ = 0;
};

}  // namespace tpsp
