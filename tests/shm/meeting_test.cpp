#include "tpsp/shm/meeting.h"

#include <catch2/catch.hpp>
#include <chrono>

#include "ranks.h"

using namespace tpsp;
using Catch::Contains;

namespace {

/// What each rank threw that came with `errand(rank)`.
std::vector<std::string> meet_with(int ranks, const std::function<Errand(int)>& errand) {
  MeetingPlace place{};
  return thrown_on_threads(ranks, [&](int rank, const std::function<void(int)>& look_after) {
    Meeting meeting(place, rank, ranks, look_after);
    meeting.meet(make_errand("a first one", 1));
    meeting.meet(errand(rank));
  });
}

}  // namespace

TEST_CASE("ranks that meet see what each has written before, and what it said") {
  const int ranks = GENERATE(1, 2, 3, 8);
  constexpr std::uint64_t meetings = 500;
  MeetingPlace place{};
  std::vector<std::uint64_t> written(static_cast<std::size_t>(2 * ranks));  // plain memory, in turns
  const auto thrown = thrown_on_threads(ranks, [&](int rank, const std::function<void(int)>& look_after) {
    Meeting meeting(place, rank, ranks, look_after);
    for (std::uint64_t i = 1; i <= meetings; ++i) {
      written[static_cast<std::size_t>(2 * rank) + i % 2] = i;
      meeting.meet(make_errand("counting", i, 100 * static_cast<std::uint64_t>(rank) + i));
      for (int peer = 0; peer < ranks; ++peer) {
        const auto said = meeting.errand_of(peer).offset - i;
        if (said != 100 * static_cast<std::uint64_t>(peer)) throw std::runtime_error("another errand");
        if (written[static_cast<std::size_t>(2 * peer) + i % 2] != i) throw std::runtime_error("old memory");
      }
    }
    if (meeting.epoch() != meetings) throw std::runtime_error("another epoch");
  });
  CHECK(thrown == nothing_on(ranks));
}

TEST_CASE("ranks that come for another thing are told on every rank, and who wants what") {
  const int ranks = GENERATE(2, 3, 8);
  const auto other_name =
      meet_with(ranks, [&](int rank) { return make_errand(rank == ranks - 1 ? "all-gather" : "all-reduce", 64, 5); });
  const auto other_bytes = meet_with(ranks, [&](int rank) { return make_errand("all-reduce", rank == 0 ? 8 : 64); });
  const auto other_place = meet_with(ranks, [](int rank) {
    auto errand = make_errand("all-gather", 64);
    errand.place = rank == 0 ? 4097 : 0;  // one more than the byte
    return errand;
  });
  for (int rank = 0; rank < ranks; ++rank) {
    const auto i = static_cast<std::size_t>(rank);
    CAPTURE(rank);
    CHECK_THAT(other_name[i], Contains("all-gather, 64 bytes") && Contains("all-reduce, 64 bytes"));
    CHECK_THAT(other_name[i], Contains("rank " + std::to_string(rank) + " of this host") && Contains("backend shm"));
    CHECK_THAT(other_bytes[i], Contains("all-reduce, 8 bytes") && Contains("all-reduce, 64 bytes"));
    CHECK_THAT(other_place[i], Contains("at byte 4096 of the common memory"));
  }
}

TEST_CASE("parts that lie elsewhere in each heap are no disagreement") {
  CHECK(meet_with(3, [](int rank) { return make_errand("x", 64, 4096 * static_cast<std::uint64_t>(rank)); }) ==
        nothing_on(3));
}

TEST_CASE("a name that is too long for an errand is cut") {
  const auto errand = make_errand("one that has more than twenty-four letters", 1);
  CHECK(std::string(errand.name.data()) == "one that has more than ");
}

TEST_CASE("who waits for a rank that never comes looks after it, and what that throws comes out") {
  MeetingPlace place{};
  int looks = 0;
  int looked_after = -1;
  Meeting meeting(place, 0, 2, [&](int peer) {
    looked_after = peer;
    if (++looks == 3) throw PeerGone();
  });
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(meeting.meet(make_errand("all-reduce", 4)), PeerGone);
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
  CHECK(looks == 3);
  CHECK(looked_after == 1);
  CHECK(waited.count() > 0.2);
  CHECK(waited.count() < 20);
}

TEST_CASE("of three ranks the one that is missing is looked after") {
  const auto thrown = thrown_on_threads(3, [place = std::make_shared<MeetingPlace>()](int rank, const auto&) {
    if (rank == 1) return;
    Meeting meeting(*place, rank, 3, [](int peer) { throw std::runtime_error("no " + std::to_string(peer)); });
    meeting.meet(make_errand("all-reduce", 4));
  });
  CHECK(thrown == std::vector<std::string>{"no 1", "", "no 1"});
}
