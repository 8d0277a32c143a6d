#include "tpsp/comm/watchdog.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

#include "ranks.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;

namespace {

constexpr double timeout_s = 0.5;
constexpr double grace_s = 0.5;

void sleep_s(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

/// What the watchdogs of all ranks said.
struct Heard {
  std::mutex mutex{};
  std::vector<Stall> stalls{};
  std::atomic<int> given_up{0};
  std::atomic<bool> over{false};  ///< what would end the processes

  StallActions actions() {
    return {.end =
                [this](const Stall& stall) {
                  const std::lock_guard lock(mutex);
                  stalls.push_back(stall);
                  over = true;
                },
            .give_up = [this] { ++given_up; }};
  }
  void wait_for_end() const {
    while (!over) sleep_s(0.01);
  }
};

/// A process group that says that it has failed.
class FailedGroup final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string_view backend() const override { return "failed"; }
  std::optional<std::string> failure() const override { return "a remote error"; }
  void all_reduce(const at::Tensor&, const at::Tensor&) override {}
  void all_gather(const at::Tensor&, const at::Tensor&) override {}
  void reduce_scatter(const at::Tensor&, const at::Tensor&) override {}
};

}  // namespace

TEST_CASE("a rank that computes for ever is named by those that wait for it", "[timed]") {
  Heard heard;
  run_threads(3, [&](World& world) {
    Watchdog watchdog(world, heard.actions(), grace_s);
    watchdog.set_timeout(timeout_s);
    watchdog.set_phase("tp at seq 8, timing");
    if (world.rank() == 1) {
      const Doing doing("gemm", "output");
      heard.wait_for_end();
    }
    world.barrier();
  });
  REQUIRE(heard.stalls.size() == 1);
  const auto& [reports, verdict] = heard.stalls.front();
  CHECK_THAT(verdict, Catch::StartsWith("rank 1 on "));
  CHECK_THAT(verdict, Catch::Contains("never entered a barrier"));
  CHECK_THAT(verdict, Catch::EndsWith("rank 1 is in gemm of output"));
  CHECK(reports.size() == 3);
  for (const auto& report : reports) CHECK_THAT(report, Catch::EndsWith("at: tp at seq 8, timing"));
}

TEST_CASE("ranks that go on slowly are left alone", "[timed]") {
  Heard heard;
  run_threads(2, [&](World& world) {
    Watchdog watchdog(world, heard.actions(), grace_s);
    watchdog.set_timeout(timeout_s);
    for (int i = 0; i < 8; ++i) {
      if (world.rank() == 1) sleep_s(0.2);
      world.barrier();
    }
  });
  CHECK(heard.stalls.empty());
}

TEST_CASE("a rank that works in parts may keep the others waiting for longer than the timeout", "[timed]") {
  Heard heard;
  run_threads(3, [&](World& world) {
    Watchdog watchdog(world, heard.actions(), grace_s);
    watchdog.set_timeout(2 * timeout_s);
    for (int i = 0; world.rank() == 1 && i < 16; ++i) {
      const Doing doing("making the weight", "output");
      sleep_s(timeout_s / 2);
    }
    world.barrier();
  });
  CHECK(heard.stalls.empty());
}

TEST_CASE("and is missed once it stands still", "[timed]") {
  Heard heard;
  run_threads(2, [&](World& world) {
    Watchdog watchdog(world, heard.actions(), grace_s);
    watchdog.set_timeout(2 * timeout_s);
    for (int i = 0; world.rank() == 1 && i < 6; ++i) {
      const Doing doing("making the weight", "output");
      sleep_s(timeout_s / 2);
    }
    if (world.rank() == 1) heard.wait_for_end();
    world.barrier();
  });
  REQUIRE(heard.stalls.size() == 1);
  CHECK_THAT(heard.stalls.front().verdict, Catch::StartsWith("rank 1 on "));
}

TEST_CASE("ranks that can not ask each other speak for themselves", "[timed]") {
  Heard heard;
  ImaginedWorld world(2, 1);
  Watchdog watchdog(world, heard.actions(), grace_s);
  watchdog.set_timeout(timeout_s);
  heard.wait_for_end();
  REQUIRE(heard.stalls.size() == 1);
  CHECK_THAT(heard.stalls.front().verdict, Catch::Contains("this MPI lets no rank ask the others"));
}

TEST_CASE("without a timeout nothing is ended", "[timed]") {
  Heard heard;
  run_threads(2, [&](World& world) {
    const Watchdog watchdog(world, heard.actions(), grace_s);
    if (world.rank() == 1) sleep_s(1);
    world.barrier();
  });
  CHECK(heard.stalls.empty());
}

TEST_CASE("a transport that fails ends the run at once", "[timed]") {
  Heard heard;
  run_threads(2, [&](World& world) {
    const FailedGroup group;
    Watchdog watchdog(world, heard.actions(), grace_s);
    std::optional<Watchdog::Guard> guard;
    if (world.rank() == 1) guard.emplace(watchdog, group);
    heard.wait_for_end();
  });
  REQUIRE(heard.stalls.size() == 1);
  CHECK_THAT(heard.stalls.front().verdict, Catch::Contains("rank 1 on ") && Catch::Contains("reports a remote error"));
}

TEST_CASE("a transport is not asked once its guard is gone", "[timed]") {
  Heard heard;
  run_threads(2, [&](World& world) {
    Watchdog watchdog(world, heard.actions(), grace_s);
    {
      const FailedGroup group;
      const Watchdog::Guard guard(watchdog, group);
    }
    sleep_s(0.6);
  });
  CHECK(heard.stalls.empty());
}

TEST_CASE("a rank alone waits for nobody and is not watched", "[timed]") {
  Heard heard;
  SerialWorld world;
  Watchdog watchdog(world, heard.actions(), grace_s);
  watchdog.set_timeout(0.3);
  sleep_s(1);
  CHECK(heard.stalls.empty());
}
