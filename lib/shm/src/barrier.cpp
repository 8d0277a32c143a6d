#include "tpsp/shm/barrier.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

// A running rank arrives within microseconds. One that is not running may be waiting for this processor.
using Clock = std::chrono::steady_clock;
constexpr int spins = 2000;
constexpr std::chrono::milliseconds check_interval{100};

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::string text_of(const OpDescriptor& op) {
  auto text = fmt::format("{}, {} bytes", op.name.data(), op.bytes);
  return op.place == 0 ? text : text + fmt::format(", at byte {} of the common memory", op.place - 1);
}

}  // namespace

OpDescriptor describe(std::string_view name, std::uint64_t bytes, std::uint64_t offset) {
  OpDescriptor op{.name = {}, .bytes = bytes, .offset = offset};
  std::copy_n(name.data(), std::min(name.size(), op.name.size() - 1), op.name.data());
  return op;
}

Barrier::Barrier(BarrierState& state, int rank, int size, std::function<void(int)> check_peer)
    : state_(state), rank_(rank), size_(size), check_peer_(std::move(check_peer)) {}

void Barrier::wait(const OpDescriptor& mine) {
  ++epoch_;
  slot(rank_).ops[epoch_ % 2] = mine;
  slot(rank_).arrived.store(epoch_, std::memory_order_release);
  for (int peer = 0; peer < size_; ++peer) wait_for(peer);
  for (int peer = 0; peer < size_; ++peer) compare(mine, peer);
}

const OpDescriptor& Barrier::op_of(int peer) const { return slot(peer).ops[epoch_ % 2]; }

void Barrier::wait_for(int peer) const {
  const auto& arrived = slot(peer).arrived;
  for (int i = 0; i < spins; ++i) {
    if (arrived.load(std::memory_order_acquire) >= epoch_) return;
    pause_briefly();
  }
  auto next_check = Clock::now() + check_interval;
  while (arrived.load(std::memory_order_acquire) < epoch_) {
    sched_yield();
    if (state_.interrupted.load(std::memory_order_acquire) != 0) {
      throw Interrupted({.where = "backend shm", .what = "a rank of this host has left the collective"});
    }
    if (Clock::now() < next_check) continue;
    check_peer_(peer);
    next_check = Clock::now() + check_interval;
  }
}

void Barrier::compare(const OpDescriptor& mine, int peer) const {
  const auto& theirs = op_of(peer);
  if (theirs.name != mine.name || theirs.bytes != mine.bytes || theirs.place != mine.place) {
    throw Error(ExitCode::rows_not_ok, {.where = "backend shm",
                                        .what = fmt::format("rank {} of this host called '{}', rank {} called '{}'",
                                                            rank_, text_of(mine), peer, text_of(theirs)),
                                        .why = "all ranks must call the same collectives in the same order",
                                        .remedy = "give all ranks the same plan, model and lengths"});
  }
  if (theirs.held != mine.held) {
    throw internal_error(
        {.where = "backend shm",
         .what = fmt::format("at '{}' rank {} of this host holds other registered memory than rank {}", text_of(mine),
                             rank_, peer),
         .why =
             "a rank that releases a block between other collectives than its peers could write into what they read"});
  }
}

}  // namespace tpsp
