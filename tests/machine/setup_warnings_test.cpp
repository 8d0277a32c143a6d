#include <catch2/catch.hpp>

#include "machine/fake_system.h"
#include "tpsp/comm/threads.h"
#include "tpsp/machine/machine_watch.h"

using namespace tpsp;

namespace {

using Warnings = std::vector<Warning>;

struct Rank {
  std::string host;
  std::string cores;
  int threads = 1;
  std::string online = "0-7";
};

// The warnings on every rank, except those of the build.
Warnings warnings_of(const std::vector<Rank>& ranks) {
  std::vector<FakeSystem> systems(ranks.size());
  std::vector<Warnings> all(ranks.size());
  run_threads(static_cast<int>(ranks.size()), [&](World& world) {
    const auto rank = static_cast<std::size_t>(world.rank());
    auto& system = systems[rank];
    system.host = ranks[rank].host;
    system.allowed = ranks[rank].cores;
    system.online = ranks[rank].online;
    system.write();
    all[rank] = setup_warnings(world, ranks[rank].threads, system.root());
    std::erase_if(all[rank], [](const Warning& warning) { return warning.flag == "debug-build"; });
  });
  for (const auto& warnings : all) CHECK(warnings == all.front());
  return all.front();
}

}  // namespace

TEST_CASE("as many threads as cores are right, shared or bound") {
  CHECK(warnings_of({{"n1", "0-3", 2}, {"n1", "0-3", 2}}).empty());
  CHECK(warnings_of({{"n1", "0", 1}, {"n1", "1", 1}, {"n2", "0", 1}, {"n2", "1", 1}}).empty());
  CHECK(warnings_of({{"n1", "0-1,4-5", 4}, {"n1", "2-3,6-7", 4}}).empty());
  CHECK(warnings_of({{"n1", "0", 1}, {"n1", "0-7", 4}}).empty());
}

TEST_CASE("more threads than the host's ranks have cores are oversubscribed") {
  CHECK(warnings_of({{"n1", "0-3", 3}, {"n1", "0-3", 2}}) ==
        Warnings{{"oversubscribed",
                  "host n1: 2 ranks with 5 threads in all may run on 4 cores only; use fewer ranks or a smaller "
                  "--threads, or let them run on more cores (mpirun --bind-to none)"}});
}

TEST_CASE("ranks whose cores overlap have them together") {
  CHECK(warnings_of({{"n1", "0-2", 2}, {"n1", "1-3", 2}}).empty());
  const auto warnings = warnings_of({{"n1", "0-2", 3}, {"n1", "1-3", 3}});
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0].text, Catch::Contains("2 ranks with 6 threads in all may run on 4 cores only"));
}

TEST_CASE("a rank bound to fewer cores than it has threads is oversubscribed whatever the others have") {
  const auto warnings = warnings_of({{"n1", "0", 4}, {"n1", "1-7", 4}});
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].flag == "oversubscribed");
  CHECK_THAT(warnings[0].text, Catch::Contains("1 rank with 4 threads in all may run on 1 core only"));
}

TEST_CASE("ranks bound to one core get that warning and not the one of too many threads") {
  CHECK(warnings_of({{"n1", "0", 1}, {"n2", "3", 1}, {"n2", "3", 1}, {"n2", "4", 1}}) ==
        Warnings{{"shared-core",
                  "host n2: 2 ranks are bound to core 3 alone; give each a core of its own (mpirun --map-by core "
                  "--bind-to core)"}});
}

TEST_CASE("a host with one core is not badly bound but has too few") {
  const auto warnings = warnings_of({{"n1", "0", 1, "0"}, {"n1", "0", 1, "0"}});
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].flag == "oversubscribed");
}

TEST_CASE("the worst host is named") {
  const auto warnings = warnings_of({{"n1", "0-1", 4}, {"n2", "0-1", 16}, {"n3", "0-1", 8}});
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0].text, Catch::StartsWith("host n2:"));
}

TEST_CASE("the same cores of two hosts are different cores") {
  CHECK(warnings_of({{"n1", "0", 1}, {"n2", "0", 1}}).empty());
}

TEST_CASE("a system that does not report its cores gives no warnings") { CHECK(warnings_of({{"n1", "", 99}}).empty()); }

TEST_CASE("a build that is not for measuring says so") {
  SerialWorld world;
  const auto warnings = setup_warnings(world, 1);
  const bool found = !warnings.empty() && warnings.back().flag == "debug-build";
#if defined(NDEBUG) && defined(__OPTIMIZE__)
  CHECK_FALSE(found);
#else
  REQUIRE(found);
  CHECK_THAT(warnings.back().text, Catch::EndsWith("; measure with a Release build"));
#endif
}
