#include "tpsp/machine/machine_watch.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>

#include "machine/fake_system.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;

namespace {

using Warnings = std::vector<Warning>;

// The warnings on one rank when `happen` is done to a system of two cores within ten seconds.
Warnings after(FakeSystem& system, const std::function<void()>& happen) {
  system.write();
  MachineWatch watch(system.root());
  watch.begin();
  system.uptime_s += 10;
  happen();
  system.write();
  SerialWorld world;
  return watch.end(world);
}

// The warnings on each rank of a world, one system a rank.
std::vector<Warnings> after(std::vector<FakeSystem>& systems, const std::function<void()>& happen) {
  std::vector<Warnings> warnings(systems.size());
  for (const auto& system : systems) system.write();
  run_threads(static_cast<int>(systems.size()), [&](World& world) {
    const auto rank = static_cast<std::size_t>(world.rank());
    MachineWatch watch(systems[rank].root());
    watch.begin();
    world.barrier();
    if (rank == 0) {
      for (auto& system : systems) system.uptime_s += 10;
      happen();
      for (const auto& system : systems) system.write();
    }
    world.barrier();
    warnings[rank] = watch.end(world);
  });
  return warnings;
}

// The rank's process and the cores work for `ticks` in a system of two cores.
void work(FakeSystem& system, long ticks) {
  system.own_user += ticks;
  system.cores[0].user += ticks / 2;
  system.cores[1].user += ticks / 2;
}

}  // namespace

TEST_CASE("a machine that runs only the ranks gives no warnings") {
  FakeSystem system;
  system.kilohertz = {3'000'000, 3'000'000};
  system.cores = {{.user = 1000, .stolen = 50}, {.user = 70, .stolen = 8}};
  system.throttles = system.pages_out = 4000;
  CHECK(after(system, [&] { work(system, 1900); }).empty());
}

TEST_CASE("a system that reports nothing gives no warnings") {
  const TemporaryFolder nothing;
  MachineWatch watch(nothing / ".");
  watch.begin();
  SerialWorld world;
  CHECK(watch.end(world).empty());
}

TEST_CASE("an end without a beginning gives no warnings") {
  FakeSystem system;
  system.cores[0] = {.user = 5000, .stolen = 5000};
  system.write();
  SerialWorld world;
  CHECK(MachineWatch(system.root()).end(world).empty());
}

TEST_CASE("other programs are named with the cores that they used") {
  FakeSystem system;
  const auto warnings = after(system, [&] {
    work(system, 1000);
    system.own_system += 200;
    system.cores[0].system += 200;
    system.cores[1].user += 800;
  });
  CHECK(warnings ==
        Warnings{{"other-load", "host n1: other programs used 0.8 cores; close them, or measure at a quieter time"}});
}

TEST_CASE("interrupts and less than 5% of a core are no other load") {
  FakeSystem system;
  CHECK(after(system, [&] {
          work(system, 1000);
          system.cores[0].user += 49;
          system.cores[1].interrupts += 300;
        }).empty());
  CHECK(after(system, [&] { system.cores[0].user += 51; }).size() == 1);
}

TEST_CASE("a tenth of a second is too little to speak of other load") {
  FakeSystem system;
  CHECK(after(system, [&] {
          system.uptime_s -= 9.9;
          system.cores[0].user += 9;
        }).empty());
}

TEST_CASE("load on cores that the ranks may not use is none of theirs") {
  FakeSystem system;
  system.allowed = "0";
  CHECK(after(system, [&] { system.cores[1].user += 1000; }).empty());
  CHECK(after(system, [&] { system.cores[0].user += 1000; }).size() == 1);
}

TEST_CASE("stolen time is named with its share") {
  FakeSystem system;
  const auto warnings = after(system, [&] {
    system.cores[0].stolen += 40;
    system.cores[1].stolen += 24;
  });
  CHECK(warnings == Warnings{{"steal",
                              "host n1: a hypervisor took 3.2% of the cores' time; use a machine that is not shared, "
                              "or measure at a quieter time"}});
  CHECK(after(system, [&] { system.cores[0].stolen += 19; }).empty());
}

TEST_CASE("a clock that changed is named with both frequencies") {
  FakeSystem system;
  system.kilohertz = {3'500'000, 1'000'000};
  const auto warnings = after(system, [&] { system.kilohertz = {2'900'000, 4'000'000}; });
  CHECK(warnings == Warnings{{"frequency",
                              "host n1: a rank's core went from 3.50 to 2.90 GHz; fix the clock (cpupower "
                              "frequency-set -g performance, no turbo)"}});
  CHECK(after(system, [&] { system.kilohertz[0] = 2'800'000; }).empty());
  CHECK(after(system, [&] { system.kilohertz[0] = 3'000'000; }).size() == 1);
}

TEST_CASE("the limit of the own control group or of one above it is noticed") {
  FakeSystem system;
  const auto warnings = after(system, [&] {
    system.throttles += 12;
    system.throttled_us += 340'000;
  });
  CHECK(warnings == Warnings{{"throttled",
                              "host n1: the CPU limit of its control group stopped the ranks 12 times, for 340.0 ms in "
                              "all; raise the limit, or use fewer ranks or threads"}});
  CHECK(after(system, [&] { system.parent_throttles += 1; }).size() == 1);
}

TEST_CASE("swapping is named with its bytes") {
  FakeSystem system;
  const auto page = sysconf(_SC_PAGESIZE);
  const auto warnings = after(system, [&] {
    system.pages_in += 6'000'000 / page;
    system.pages_out += 6'500'000 / page;
  });
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].flag == "swap");
  CHECK_THAT(warnings[0].text, Catch::StartsWith("host n1: 12.5 MB went to swap or came from it; free memory"));
  CHECK(after(system, [&] { system.pages_out += 100'000 / page; }).empty());
}

TEST_CASE("several disturbances come in the order of the flags") {
  FakeSystem system;
  system.kilohertz = {1'000'000, 1'000'000};
  const auto warnings = after(system, [&] {
    system.cores[0] = {.user = 500, .stolen = 100};
    system.kilohertz[0] = 2'000'000;
    system.throttles = 1;
    system.pages_in = 100'000;
  });
  std::string flags;
  for (const auto& warning : warnings) flags += warning.flag + " ";
  CHECK(flags == "steal other-load frequency throttled swap ");
}

TEST_CASE("the work of another rank of the host is not other load") {
  std::vector<FakeSystem> ranks(2);
  ranks[0].number = "70";
  ranks[1].number = "71";
  const auto warnings = after(ranks, [&] {
    for (auto& rank : ranks) {
      rank.own_user = 950;
      rank.cores = {{.user = 950}, {.user = 950}};
    }
  });
  CHECK(warnings == std::vector<Warnings>(2));
}

TEST_CASE("ranks that are threads of one process count its work once") {
  std::vector<FakeSystem> ranks(2);
  const auto warnings = after(ranks, [&] {
    for (auto& rank : ranks) {
      rank.own_user = 900;
      rank.cores = {{.user = 950}, {.user = 750}};
    }
  });
  REQUIRE(warnings[0].size() == 1);
  CHECK_THAT(warnings[0][0].text, Catch::Contains("used 0.8 cores"));
}

TEST_CASE("ranks with cores of their own are counted over all of their cores") {
  std::vector<FakeSystem> ranks(2);
  for (std::size_t rank = 0; rank < 2; ++rank) {
    ranks[rank].number = std::to_string(rank);
    ranks[rank].allowed = std::to_string(rank);
  }
  const auto warnings = after(ranks, [&] {
    for (auto& rank : ranks) {
      rank.own_user = 500;
      rank.cores = {{.user = 500}, {.user = 900}};
    }
  });
  REQUIRE(warnings[1].size() == 1);
  CHECK_THAT(warnings[1][0].text, Catch::Contains("used 0.4 cores"));
}

TEST_CASE("a rank that began earlier does not count another rank's work as other load") {
  std::vector<FakeSystem> ranks(2);
  ranks[0].number = "70";
  ranks[1].number = "71";
  const auto warnings = after(ranks, [&] {
    ranks[0].own_user = ranks[1].own_user = 900;
    ranks[0].cores = {{.user = 1000}, {.user = 1000}};  // 2 s of rank 1's work before it began
    ranks[1].cores = {{.user = 900}, {.user = 900}};
  });
  CHECK(warnings == std::vector<Warnings>(2));
}

TEST_CASE("all ranks get the warning of the one noisy host, or of the worse of two") {
  std::vector<FakeSystem> ranks(4);
  for (std::size_t rank = 0; rank < 4; ++rank) ranks[rank].host = rank < 2 ? "n1" : "n2";
  for (const long on_first : {0L, 300L}) {
    const auto warnings = after(ranks, [&] {
      for (auto& rank : ranks) rank.cores[1].user += rank.host == "n2" ? 700 : on_first;
    });
    for (const auto& of_rank : warnings) {
      CHECK(of_rank == Warnings{{"other-load",
                                 "host n2: other programs used 0.7 cores; close them, or measure at a quieter time"}});
    }
  }
}

TEST_CASE("reading the counters is fast on this system") {
  MachineWatch watch;
  SerialWorld world;
  const auto begin = std::chrono::steady_clock::now();
  constexpr int times = 20;
  for (int i = 0; i < times; ++i) {
    watch.begin();
    watch.end(world);
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  CHECK(taken.count() / times < 0.1);
}
