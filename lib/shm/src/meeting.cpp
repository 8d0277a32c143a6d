#include "tpsp/shm/meeting.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

// A rank that is on its way comes within microseconds. One that is not may be waiting for this processor.
using Clock = std::chrono::steady_clock;
constexpr int spins = 2000;
constexpr std::chrono::milliseconds between_looks{100};

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

std::string text_of(const Errand& errand) {
  auto text = fmt::format("{}, {} bytes", errand.name.data(), errand.bytes);
  return errand.place == 0 ? text : text + fmt::format(", at byte {} of the common memory", errand.place - 1);
}

}  // namespace

Errand make_errand(std::string_view name, std::uint64_t bytes, std::uint64_t offset) {
  Errand errand{.name = {}, .bytes = bytes, .offset = offset, .place = 0};
  std::copy_n(name.data(), std::min(name.size(), errand.name.size() - 1), errand.name.data());
  return errand;
}

Meeting::Meeting(MeetingPlace& place, int rank, int size, std::function<void(int)> look_after_peers)
    : place_(place), rank_(rank), size_(size), look_after_peers_(std::move(look_after_peers)) {}

void Meeting::meet(const Errand& mine) {
  ++epoch_;
  seat(rank_).errands[epoch_ % 2] = mine;
  seat(rank_).arrived.store(epoch_, std::memory_order_release);
  for (int peer = 0; peer < size_; ++peer) wait_for(peer);
  for (int peer = 0; peer < size_; ++peer) compare(mine, peer);
}

const Errand& Meeting::errand_of(int peer) const { return seat(peer).errands[epoch_ % 2]; }

void Meeting::wait_for(int peer) const {
  const auto& arrived = seat(peer).arrived;
  for (int i = 0; i < spins; ++i) {
    if (arrived.load(std::memory_order_acquire) >= epoch_) return;
    pause_briefly();
  }
  auto next_look = Clock::now() + between_looks;
  while (arrived.load(std::memory_order_acquire) < epoch_) {
    sched_yield();
    if (Clock::now() < next_look) continue;
    look_after_peers_(peer);
    next_look = Clock::now() + between_looks;
  }
}

void Meeting::compare(const Errand& mine, int peer) const {
  const auto& theirs = errand_of(peer);
  if (theirs.name == mine.name && theirs.bytes == mine.bytes && theirs.place == mine.place) return;
  throw Error(ExitCode::rows_not_ok, {.where = "backend shm",
                                      .what = fmt::format("rank {} of this host has come for '{}', rank {} for '{}'",
                                                          rank_, text_of(mine), peer, text_of(theirs)),
                                      .why = "all ranks must call the same collectives in the same order",
                                      .remedy = "give all ranks the same plan, model and lengths"});
}

}  // namespace tpsp
