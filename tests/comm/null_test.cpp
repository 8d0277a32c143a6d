#include "support/torch_and_catch.h"

#include "tpsp/comm/null.h"

#include "comm/ranks.h"
#include "support/thrown.h"
#include "tpsp/comm/threads.h"

using namespace tpsp;
using Catch::Contains;

namespace {

at::Tensor numbers(std::int64_t rows) { return at::arange(rows * 2, at::kFloat).view({rows, 2}); }

}  // namespace

TEST_CASE("of a reduction one rank alone keeps its own term") {
  for (int rank = 0; rank < 3; ++rank) {
    NullProcessGroup group(rank, 3);
    const auto full = numbers(6);
    const auto sum = at::zeros_like(full);
    group.all_reduce(full, sum);
    CHECK(at::equal(sum, full));
    group.all_reduce(full, full);
    CHECK(at::equal(sum, full));

    const auto shard = at::zeros({2, 2});
    group.reduce_scatter(full, shard);
    CHECK(at::equal(shard, full.narrow(0, 2 * rank, 2)));
  }
}

TEST_CASE("what one rank alone gathers is its shard, once for every rank, wherever the shard lies") {
  for (int rank = 0; rank < 3; ++rank) {
    NullProcessGroup group(rank, 3);
    const auto shard = numbers(2);
    const auto expected = shard.repeat({3, 1});
    const auto elsewhere = at::zeros({6, 2});
    group.all_gather(shard, elsewhere);
    CHECK(at::equal(elsewhere, expected));

    const auto full = at::zeros({6, 2});
    const auto in_place = full.narrow(0, 2 * rank, 2);
    in_place.copy_(shard);
    group.all_gather(in_place, full);
    CHECK(at::equal(full, expected));
  }
  NullProcessGroup only(0, 1);
  const auto full = numbers(2);
  only.all_gather(full, full);
  CHECK(at::equal(full, numbers(2)));
}

TEST_CASE("null is one of the backends, which only a rank that is said can have") {
  SerialWorld one;
  CHECK_THAT(complaint_of([&] { make_process_group(standard_backends(), "null", one, at::kCPU); }),
             Contains("--backend null: it runs one rank alone"));
  const auto backend = null_backend(2, 8);
  CHECK_FALSE(backend.refusal(one, at::kCPU).has_value());
  CHECK(backend.refusal(ImaginedWorld(2), at::kCPU).has_value());
  const auto group = backend.make(one, at::kCPU);
  CHECK(group->rank() == 2);
  CHECK(group->size() == 8);
  CHECK(group->backend() == "null");
  CHECK(choose_backend(standard_backends(), "auto", one, at::kCPU).name != "null");
}
