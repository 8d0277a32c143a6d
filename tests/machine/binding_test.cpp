#include "tpsp/machine/binding.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>

#include "tpsp/comm/threads.h"

using namespace tpsp;

TEST_CASE("ranks that are threads of one process are never bound") {
  const auto before = HostCores().binding();
  std::atomic<int> as_before = 0;
  run_threads(2, [&](World& world) {
    RankBinder binder(world);
    const auto cores = binder.bind_ranks(true);
    const auto mine = HostCores().binding();
    if (cores.by == "none" && cores.note.empty() && cores.cpus == cpu_list(before) + ";" + cpu_list(before) &&
        mine == before) {
      ++as_before;
    }
  });
  CHECK(as_before == 2);
}

TEST_CASE("ranks that share their cores count their part of them") {
  const HostCores host;
  const auto cores = static_cast<int>(host.within(host.binding()).size());
  std::atomic<int> right = 0;
  run_threads(2, [&](World& world) {
    if (RankBinder(world).bind_ranks(false).mine == std::max(cores / 2, 1)) ++right;
  });
  CHECK(right == 2);
}
