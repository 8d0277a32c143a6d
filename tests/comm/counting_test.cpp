#include "support/torch_and_catch.h"

#include "tpsp/comm/counting.h"

#include "comm/ranks.h"

using namespace tpsp;

namespace {

constexpr std::int64_t fp32_bytes = 4;

CommCounts one_of_each(Communicator& inner, at::ScalarType dtype) {
  CountingCommunicator counting(inner);
  auto whole = at::ones({inner.size() * 6}, dtype);
  auto shard = at::ones({6}, dtype);
  counting.all_reduce(whole, whole);
  counting.all_gather(shard, whole);
  counting.reduce_scatter(whole, shard);
  return counting.counts();
}

}  // namespace

TEST_CASE("an all-reduce sends 2(t-1)/t of the buffer") {
  CHECK(bytes_sent(Collective::all_reduce, 1200, 2) == 1200);
  CHECK(bytes_sent(Collective::all_reduce, 1200, 3) == 1600);
  CHECK(bytes_sent(Collective::all_reduce, 1200, 4) == 1800);
}

TEST_CASE("an all-gather and a reduce-scatter each send (t-1)/t of the whole") {
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

TEST_CASE("a counting communicator counts calls by kind, and bytes by element size") {
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  DryCommunicator dry(0, 3);
  const std::int64_t whole = 18 * (dtype == at::kFloat ? fp32_bytes : fp32_bytes / 2);
  const CommCounts expected{.all_reduces = 1, .all_gathers = 1, .reduce_scatters = 1, .bytes = (4 + 2 + 2) * whole / 3};
  CHECK(one_of_each(dry, dtype) == expected);
}

TEST_CASE("a counting communicator counts the calls of one rank, which send no bytes") {
  DryCommunicator dry(0, 1);
  CHECK(one_of_each(dry, at::kFloat) == CommCounts{1, 1, 1, 0});
}

TEST_CASE("a counting communicator passes the values on") {
  const auto shards = on_ranks(2, [](World& world, Communicator& comm) {
    CountingCommunicator counting(comm);
    auto buffer = at::full({4}, static_cast<float>(world.rank() + 1));
    counting.all_reduce(buffer, buffer);  // 3 everywhere
    auto shard = at::empty({2});
    counting.reduce_scatter(buffer, shard);  // 6
    counting.all_gather(shard.mul(world.rank() + 1), buffer);
    return buffer;
  });
  for (const auto& whole : shards) CHECK(at::equal(whole, at::tensor({6.0F, 6.0F, 12.0F, 12.0F})));
}

TEST_CASE("a counting communicator answers as the one inside") {
  DryCommunicator dry(3, 8);
  const CountingCommunicator counting(dry);
  CHECK(counting.rank() == 3);
  CHECK(counting.size() == 8);
  CHECK(counting.backend() == "dry");
}

TEST_CASE("a reset counter begins again at nothing") {
  DryCommunicator dry(0, 2);
  CountingCommunicator counting(dry);
  counting.all_reduce(at::ones({4}), at::ones({4}));
  counting.reset();
  CHECK(counting.counts() == CommCounts{});
}

TEST_CASE("a dry communicator moves nothing") {
  DryCommunicator dry(1, 4);
  auto whole = at::arange(8, at::kFloat);
  auto shard = at::full({2}, 7.0F);
  dry.all_reduce(whole, whole);
  dry.all_gather(shard, whole);
  dry.reduce_scatter(whole, shard);
  CHECK(at::equal(whole, at::arange(8, at::kFloat)));
  CHECK(at::equal(shard, at::full({2}, 7.0F)));
}

TEST_CASE("a dry communicator takes meta tensors, which hold no data") {
  DryCommunicator dry(0, 4);
  const auto whole = at::empty({8}, at::TensorOptions().device(at::kMeta));
  CHECK_NOTHROW(one_of_each(dry, at::kFloat));
  CHECK_NOTHROW(dry.all_reduce(whole, whole));
}
