#include "support/torch_and_catch.h"

#include "tpsp/comm/mesh.h"

#include <fmt/format.h>

#include "comm/ranks.h"
#include "support/thrown.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;

namespace {

// Of each rank "tp rank/size dp rank/size".
std::vector<std::string> places(int ranks, int tp) {
  std::vector<std::string> all(static_cast<std::size_t>(ranks));
  run_threads(ranks, [&](World& world) {
    const Mesh mesh(world, tp);
    all[static_cast<std::size_t>(world.rank())] =
        fmt::format("tp {}/{} dp {}/{}", mesh.tp().rank(), mesh.tp().size(), mesh.dp().rank(), mesh.dp().size());
  });
  return all;
}

}  // namespace

TEST_CASE("the ranks of a tensor-parallel group are neighbours") {
  using Places = std::vector<std::string>;
  CHECK(places(4, 2) == Places{"tp 0/2 dp 0/2", "tp 1/2 dp 0/2", "tp 0/2 dp 1/2", "tp 1/2 dp 1/2"});
  CHECK(places(3, 3) == Places{"tp 0/3 dp 0/1", "tp 1/3 dp 0/1", "tp 2/3 dp 0/1"});
  CHECK(places(2, 1) == Places{"tp 0/1 dp 0/2", "tp 0/1 dp 1/2"});
}

TEST_CASE("each group of a mesh sums over its own ranks, at the same time") {
  std::vector<float> tp_sums(4);
  std::vector<float> dp_sums(4);
  run_threads(4, [&](World& world) {
    const Mesh mesh(world, 2);
    const auto tp = make_process_group(standard_backends(), "threads", mesh.tp(), at::kCPU);
    const auto dp = make_process_group(standard_backends(), "threads", mesh.dp(), at::kCPU);
    const auto sum_over = [&](ProcessGroup& group) {
      auto value = at::full({5}, static_cast<float>(1 << world.rank()));
      group.all_reduce(value, value);
      return value[4].item<float>();
    };
    const auto rank = static_cast<std::size_t>(world.rank());
    for (int i = 0; i < 20; ++i) {
      tp_sums[rank] = sum_over(*tp);
      dp_sums[rank] = sum_over(*dp);
    }
  });
  CHECK(tp_sums == std::vector<float>{3, 3, 12, 12});
  CHECK(dp_sums == std::vector<float>{5, 10, 5, 10});
}

TEST_CASE("a group that does not divide the ranks is refused on all of them") {
  const auto message = complaint_of([] { run_threads(3, [](World& world) { const Mesh mesh(world, 2); }); });
  CHECK(message == "mesh: 3 ranks do not divide into tensor-parallel groups of 2; use a multiple of the group's size");
}

TEST_CASE("a rank that fails wakes those that wait in a group of the mesh") {
  const auto message = complaint_of([] {
    run_threads(4, [](World& world) {
      const Mesh mesh(world, 2);
      if (world.rank() == 3) throw bad_input({.where = "rank 3", .what = "it failed"});
      mesh.tp().barrier();
      mesh.dp().barrier();
      mesh.tp().barrier();
    });
  });
  CHECK(message == "rank 3: it failed");
}
