#include "support/torch_and_catch.h"

#include "tpsp/comm/threads.h"

#include <array>
#include <stdexcept>

#include "comm/ranks.h"

using namespace tpsp;

namespace {

/// A failure of a test's own type, so that a rethrow that changes the type shows.
struct OwnFailure : std::logic_error {
  using std::logic_error::logic_error;
};

}  // namespace

TEST_CASE("every thread is one rank of the world, on one host") {
  const auto places = on_ranks(3, [](World& world, ProcessGroup& comm) {
    return std::array<int, 6>{world.rank(),       world.size(), world.local_rank(),
                              world.local_size(), comm.rank(),  comm.size()};
  });
  for (int rank = 0; rank < 3; ++rank) {
    const std::array<int, 6> expected{rank, 3, rank, 3, rank, 3};
    CHECK(places.at(static_cast<std::size_t>(rank)) == expected);
  }
}

TEST_CASE("the failing rank's own exception comes out, and wakes those at a barrier") {
  const int failing = GENERATE(0, 1, 2);
  CHECK_THROWS_AS(run_threads(3,
                              [&](World& world) {
                                if (world.rank() == failing) throw OwnFailure("mine");
                                world.barrier();
                              }),
                  OwnFailure);
}

TEST_CASE("the failing rank wakes those in a collective") {
  const auto fail_one = [](World& world, ProcessGroup& comm) {
    if (world.rank() == 1) throw OwnFailure("mine");
    auto buffer = at::ones({4});
    for (int i = 0; i < 3; ++i) comm.all_reduce(buffer, buffer);
    return 0;
  };
  CHECK_THROWS_WITH(on_ranks(3, fail_one), "mine");
}

TEST_CASE("the failing rank wakes those that exchange and agree") {
  CHECK_THROWS_WITH(run_threads(3,
                                [](World& world) {
                                  if (world.rank() == 2) throw OwnFailure("mine");
                                  agree(world, [] {});
                                }),
                    "mine");
}

TEST_CASE("a rank that has finished does not keep the others from failing") {
  CHECK_THROWS_WITH(run_threads(2,
                                [](World& world) {
                                  world.barrier();
                                  if (world.rank() == 1) throw OwnFailure("late");
                                }),
                    "late");
}

TEST_CASE("when two ranks fail by themselves the lower one is heard") {
  CHECK_THROWS_WITH(run_threads(3,
                                [](World& world) {
                                  if (world.rank() != 0) throw OwnFailure("rank " + std::to_string(world.rank()));
                                }),
                    "rank 1");
}

TEST_CASE("a group that failed leaves nothing behind for the next") {
  CHECK_THROWS_AS(run_threads(2, [](World&) { throw OwnFailure("first"); }), OwnFailure);
  CHECK_NOTHROW(run_threads(2, [](World& world) { world.barrier(); }));
}
