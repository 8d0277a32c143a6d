#include "support/torch_and_catch.h"

#include "tpsp/comm/dry.h"

#include "comm/ranks.h"

using namespace tpsp;

TEST_CASE("an all-reduce sends 2(t-1)/t of the buffer") {
  CHECK(bytes_sent(Collective::all_reduce, 1200, 2) == 1200);
  CHECK(bytes_sent(Collective::all_reduce, 1200, 3) == 1600);
  CHECK(bytes_sent(Collective::all_reduce, 1200, 4) == 1800);
}

TEST_CASE("an all-gather and a reduce-scatter each send (t-1)/t of the full tensor") {
  const auto kind = GENERATE(Collective::all_gather, Collective::reduce_scatter);
  CHECK(bytes_sent(kind, 1200, 2) == 600);
  CHECK(bytes_sent(kind, 1200, 3) == 800);
  CHECK(bytes_sent(kind, 1200, 4) == 900);
}

TEST_CASE("one rank sends nothing") {
  const auto kind = GENERATE(Collective::all_reduce, Collective::all_gather, Collective::reduce_scatter);
  CHECK(bytes_sent(kind, 1200, 1) == 0);
}

TEST_CASE("an all-reduce sends what a reduce-scatter and an all-gather send together") {
  const std::int64_t bytes = 32 * std::int64_t{1024} * 1024 * 1024;  // over 32 bits
  const int ranks = GENERATE(2, 4, 8, 64);
  CHECK(bytes_sent(Collective::all_reduce, bytes, ranks) ==
        bytes_sent(Collective::reduce_scatter, bytes, ranks) + bytes_sent(Collective::all_gather, bytes, ranks));
}

TEST_CASE("collectives are called by the names of the literature") {
  CHECK(to_string(Collective::all_reduce) == "all-reduce");
  CHECK(to_string(Collective::all_gather) == "all-gather");
  CHECK(to_string(Collective::reduce_scatter) == "reduce-scatter");
}

TEST_CASE("a dry process group moves nothing") {
  DryProcessGroup dry(1, 4);
  auto full = at::arange(8, at::kFloat);
  auto shard = at::full({2}, 7.0F);
  dry.all_reduce(full, full);
  dry.all_gather(shard, full);
  dry.reduce_scatter(full, shard);
  CHECK(at::equal(full, at::arange(8, at::kFloat)));
  CHECK(at::equal(shard, at::full({2}, 7.0F)));
}

TEST_CASE("a dry process group takes meta tensors, which hold no data") {
  DryProcessGroup dry(0, 4);
  const auto meta = at::TensorOptions().device(at::kMeta);
  const auto full = at::empty({8}, meta);
  const auto shard = at::empty({2}, meta);
  CHECK_NOTHROW(dry.all_reduce(full, full));
  CHECK_NOTHROW(dry.all_gather(shard, full));
  CHECK_NOTHROW(dry.reduce_scatter(full, shard));
}
