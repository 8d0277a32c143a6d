#include "tpsp/shm/barrier.h"

#include <catch2/catch.hpp>
#include <chrono>
#include <thread>

#include "ranks.h"

using namespace tpsp;
using Catch::Contains;

namespace {

/// What each rank threw that arrived with `op(rank)`.
std::vector<std::string> arrive_with(int ranks, const std::function<OpDescriptor(int)>& op) {
  BarrierState place{};
  return thrown_on_threads(ranks, [&](int rank, const std::function<void(int)>& check_peer) {
    Barrier barrier(place, rank, ranks, check_peer);
    barrier.wait(describe("a first one", 1));
    barrier.wait(op(rank));
  });
}

}  // namespace

TEST_CASE("after a barrier each rank sees the others' writes and op descriptors") {
  const int ranks = GENERATE(1, 2, 3, 8);
  constexpr std::uint64_t barriers = 500;
  BarrierState place{};
  std::vector<std::uint64_t> written(
      static_cast<std::size_t>(2 * ranks));  // plain memory, two entries a rank, used alternately
  const auto thrown = thrown_on_threads(ranks, [&](int rank, const std::function<void(int)>& check_peer) {
    Barrier barrier(place, rank, ranks, check_peer);
    for (std::uint64_t i = 1; i <= barriers; ++i) {
      written[static_cast<std::size_t>(2 * rank) + i % 2] = i;
      barrier.wait(describe("counting", i, 100 * static_cast<std::uint64_t>(rank) + i));
      for (int peer = 0; peer < ranks; ++peer) {
        const auto said = barrier.op_of(peer).offset - i;
        if (said != 100 * static_cast<std::uint64_t>(peer)) throw std::runtime_error("another op");
        if (written[static_cast<std::size_t>(2 * peer) + i % 2] != i) throw std::runtime_error("old memory");
      }
    }
    if (barrier.epoch() != barriers) throw std::runtime_error("another epoch");
  });
  CHECK(thrown == nothing_on(ranks));
}

TEST_CASE("ranks that arrive with different ops fail on every rank, and the error names both") {
  const int ranks = GENERATE(2, 3, 8);
  const auto other_name =
      arrive_with(ranks, [&](int rank) { return describe(rank == ranks - 1 ? "all-gather" : "all-reduce", 64, 5); });
  const auto other_bytes = arrive_with(ranks, [&](int rank) { return describe("all-reduce", rank == 0 ? 8 : 64); });
  const auto other_place = arrive_with(ranks, [](int rank) {
    auto op = describe("all-gather", 64);
    op.place = rank == 0 ? 4097 : 0;  // one more than the byte
    return op;
  });
  const auto other_memory = arrive_with(ranks, [](int rank) {
    auto op = describe("all-gather", 64);
    op.held = rank == 0 ? 3 : 2;
    return op;
  });
  for (int rank = 0; rank < ranks; ++rank) {
    const auto i = static_cast<std::size_t>(rank);
    CAPTURE(rank);
    CHECK_THAT(other_memory[i], Contains("holds other registered memory than rank"));
    CHECK_THAT(other_name[i], Contains("all-gather, 64 bytes") && Contains("all-reduce, 64 bytes"));
    CHECK_THAT(other_name[i], Contains("rank " + std::to_string(rank) + " of this host") && Contains("backend shm"));
    CHECK_THAT(other_bytes[i], Contains("all-reduce, 8 bytes") && Contains("all-reduce, 64 bytes"));
    CHECK_THAT(other_place[i], Contains("at byte 4096 of the common memory"));
  }
}

TEST_CASE("partials may have different offsets in the heaps") {
  CHECK(arrive_with(3, [](int rank) { return describe("x", 64, 4096 * static_cast<std::uint64_t>(rank)); }) ==
        nothing_on(3));
}

TEST_CASE("a name that is too long for an op is truncated") {
  const auto op = describe("one that has more than twenty-four letters", 1);
  CHECK(std::string(op.name.data()) == "one that has more than ");
}

TEST_CASE("a rank that waits for one that never arrives checks it, and what the check throws is passed on") {
  BarrierState place{};
  int checks = 0;
  int checked = -1;
  Barrier barrier(place, 0, 2, [&](int peer) {
    checked = peer;
    if (++checks == 3) throw PeerGone();
  });
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(barrier.wait(describe("all-reduce", 4)), PeerGone);
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
  CHECK(checks == 3);
  CHECK(checked == 1);
  CHECK(waited.count() > 0.2);
  CHECK(waited.count() < 20);
}

TEST_CASE("of three ranks the one that is missing is checked") {
  const auto thrown = thrown_on_threads(3, [place = std::make_shared<BarrierState>()](int rank, const auto&) {
    if (rank == 1) return;
    Barrier barrier(*place, rank, 3, [](int peer) { throw std::runtime_error("no " + std::to_string(peer)); });
    barrier.wait(describe("all-reduce", 4));
  });
  CHECK(thrown == std::vector<std::string>{"no 1", "", "no 1"});
}

TEST_CASE("ranks that wait for one that has left are interrupted, at once or when they come") {
  const int ranks = GENERATE(2, 3, 8);
  BarrierState place{};
  const auto thrown = thrown_on_threads(ranks, [&](int rank, const std::function<void(int)>& check_peer) {
    Barrier barrier(place, rank, ranks, check_peer);
    barrier.wait(describe("a first one", 1));
    if (rank == 0) {
      barrier.interrupt();
    } else {
      if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      barrier.wait(describe("a second one", 1));
    }
  });
  CHECK(thrown.front().empty());
  for (int rank = 1; rank < ranks; ++rank) {
    CHECK_THAT(thrown[static_cast<std::size_t>(rank)], Contains("has left the collective"));
  }
}
