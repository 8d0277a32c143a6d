// The sums are made by hand: rank r holds 4 (r + 1) + i at place i, small whole numbers that bfloat16 holds exactly.

#include "support/torch_and_catch.h"

#include <stdexcept>
#include <string>

#include "comm/ranks.h"

using namespace tpsp;
using Catch::Contains;
using Catch::StartsWith;

namespace {

at::Tensor term(int rank, std::int64_t count, at::ScalarType dtype) {
  return at::arange(count).add(4 * (rank + 1)).to(dtype);
}

// The sum over t ranks: 2 t (t + 1) + t i.
at::Tensor sum_of_terms(int ranks, std::int64_t count, at::ScalarType dtype) {
  return at::arange(count).mul(ranks).add(2 * ranks * (ranks + 1)).to(dtype);
}

at::Tensor random_term(int rank, std::int64_t count) {
  auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(1000 + rank));
  return at::randn({count}, generator, at::kFloat);
}

// Each backend that serves ranks of one process, in turn.
std::string backend_of_threads() { return GENERATE(as<std::string>{}, "threads", "gloo"); }

}  // namespace

TEST_CASE("threads and gloo: an all-reduce leaves the sum on every rank") {
  const auto backend = backend_of_threads();
  const int ranks = GENERATE(1, 2, 3, 4);
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto count = GENERATE(std::int64_t{1}, std::int64_t{7}, std::int64_t{13});
  const auto sums = on_ranks(backend, ranks, [&](World& world, ProcessGroup& comm) {
    auto buffer = term(world.rank(), count, dtype);
    comm.all_reduce(buffer, buffer);
    return buffer;
  });
  CAPTURE(backend, ranks, dtype, count);
  for (const auto& sum : sums) CHECK(at::equal(sum, sum_of_terms(ranks, count, dtype)));
}

TEST_CASE("threads and gloo: an all-gather concatenates the shards in rank order") {
  const auto backend = backend_of_threads();
  const int ranks = GENERATE(1, 2, 3, 4);
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const std::int64_t count = 5;
  const auto fulls = on_ranks(backend, ranks, [&](World& world, ProcessGroup& comm) {
    auto full = at::zeros({ranks * count}, dtype);
    comm.all_gather(term(world.rank(), count, dtype), full);
    return full;
  });
  CAPTURE(backend, ranks, dtype);
  for (const auto& full : fulls) {
    for (int peer = 0; peer < ranks; ++peer) {
      CHECK(at::equal(full.narrow(0, peer * count, count), term(peer, count, dtype)));
    }
  }
}

TEST_CASE("threads and gloo: a reduce-scatter leaves rank r the r-th block of the sum") {
  const auto backend = backend_of_threads();
  const int ranks = GENERATE(1, 2, 3, 4);
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const std::int64_t count = 3;
  const auto shards = on_ranks(backend, ranks, [&](World& world, ProcessGroup& comm) {
    auto shard = at::zeros({count}, dtype);
    comm.reduce_scatter(term(world.rank(), ranks * count, dtype), shard);
    return shard;
  });
  CAPTURE(backend, ranks, dtype);
  const auto sum = sum_of_terms(ranks, ranks * count, dtype);
  for (int rank = 0; rank < ranks; ++rank) {
    CHECK(at::equal(shards[static_cast<std::size_t>(rank)], sum.narrow(0, rank * count, count)));
  }
}

// Blocks lie at their places in the full tensor, as they do where the residual stream is sharded along the sequence.
TEST_CASE("threads and gloo: a shard at its place in the full tensor is gathered, and scattered to") {
  const auto backend = backend_of_threads();
  const auto fulls = on_ranks(backend, 3, [](World& world, ProcessGroup& comm) {
    auto full = at::full({3, 5}, -1.0F);
    full[world.rank()].copy_(term(world.rank(), 5, at::kFloat));
    comm.all_gather(full[world.rank()], full);
    auto sums = full.clone();  // the same on all ranks, so the sum is three times it
    comm.reduce_scatter(sums, sums[world.rank()]);
    return at::stack({full, sums});
  });
  CAPTURE(backend);
  for (int rank = 0; rank < 3; ++rank) {
    const auto& full = fulls[static_cast<std::size_t>(rank)][0];
    const auto& sums = fulls[static_cast<std::size_t>(rank)][1];
    for (int peer = 0; peer < 3; ++peer) CHECK(at::equal(full[peer], term(peer, 5, at::kFloat)));
    CHECK(at::equal(sums[rank], term(rank, 5, at::kFloat).mul(3)));
  }
}

TEST_CASE("threads and gloo: an all-reduce into other memory leaves the partial as it was") {
  const auto backend = backend_of_threads();
  const auto pairs = on_ranks(backend, 3, [](World& world, ProcessGroup& comm) {
    const auto partial = term(world.rank(), 7, at::kFloat);
    auto sum = at::empty({7});
    comm.all_reduce(partial, sum);
    return at::stack({partial, sum});
  });
  CAPTURE(backend);
  for (int rank = 0; rank < 3; ++rank) {
    const auto& pair = pairs[static_cast<std::size_t>(rank)];
    CHECK(at::equal(pair[0], term(rank, 7, at::kFloat)));
    CHECK(at::equal(pair[1], sum_of_terms(3, 7, at::kFloat)));
  }
}

TEST_CASE("threads and gloo: tensors of several dimensions keep their shape") {
  const auto backend = backend_of_threads();
  const auto shapes = on_ranks(backend, 2, [](World&, ProcessGroup& comm) {
    auto full = at::ones({2, 3, 4, 5});
    auto shard = at::zeros({3, 4, 5});
    comm.reduce_scatter(full, shard);
    comm.all_gather(shard, full);
    return full;
  });
  CAPTURE(backend);
  for (const auto& full : shapes) CHECK(at::equal(full, at::full({2, 3, 4, 5}, 2.0F)));
}

TEST_CASE("threads and gloo: a reduce-scatter leaves the rank's own input as it was") {
  const auto backend = backend_of_threads();
  const auto inputs = on_ranks(backend, 3, [](World& world, ProcessGroup& comm) {
    auto full = term(world.rank(), 6, at::kFloat);
    comm.reduce_scatter(full, at::empty({2}));
    return full;
  });
  CAPTURE(backend);
  for (int rank = 0; rank < 3; ++rank) {
    CHECK(at::equal(inputs[static_cast<std::size_t>(rank)], term(rank, 6, at::kFloat)));
  }
}

// 256 + 1 + 1 + 1 is 259, of which bfloat16 makes 260. Rounded after every addition it would stay 256.
TEST_CASE("threads: bfloat16 is summed in fp32 and rounded once") {
  const auto sums = on_ranks(4, [](World& world, ProcessGroup& comm) {
    auto buffer = at::full({4}, world.rank() == 0 ? 256.0F : 1.0F, at::kBFloat16);
    auto shard = at::empty({1}, at::kBFloat16);
    comm.reduce_scatter(buffer, shard);
    comm.all_reduce(buffer, buffer);
    return at::cat({buffer, shard});
  });
  for (const auto& sum : sums) CHECK(at::equal(sum, at::full({5}, 260.0F, at::kBFloat16)));
}

TEST_CASE("threads and gloo: all ranks hold the same bits of a sum that rounds") {
  const auto backend = backend_of_threads();
  const auto sums = on_ranks(backend, 4, [](World& world, ProcessGroup& comm) {
    auto buffer = random_term(world.rank(), 1001);
    comm.all_reduce(buffer, buffer);
    return buffer;
  });
  CAPTURE(backend);
  for (const auto& sum : sums) CHECK(at::equal(sum, sums.front()));
}

TEST_CASE("threads and gloo: a reduce-scatter gives the bits of the all-reduce") {
  const auto backend = backend_of_threads();
  const auto differences = on_ranks(backend, 3, [](World& world, ProcessGroup& comm) {
    auto full = random_term(world.rank(), 3 * 37);
    auto shard = at::empty({37});
    comm.reduce_scatter(full, shard);
    comm.all_reduce(full, full);
    return at::equal(shard, full.narrow(0, world.rank() * 37, 37)) ? 0 : 1;
  });
  CAPTURE(backend);
  CHECK(differences == std::vector<int>{0, 0, 0});
}

TEST_CASE("threads and gloo: many collectives in a row do not run into each other") {
  const auto backend = backend_of_threads();
  const auto totals = on_ranks(backend, 4, [](World& world, ProcessGroup& comm) {
    auto total = at::zeros({1});
    for (int round = 0; round < 200; ++round) {
      auto buffer = at::full({1}, static_cast<float>(world.rank() + round));
      comm.all_reduce(buffer, buffer);
      total.add_(buffer);
    }
    return total.item<float>();
  });
  CAPTURE(backend);
  // The sum over 200 rounds of 0 + 1 + 2 + 3 + 4 round.
  CHECK(totals == std::vector<float>(4, 200 * 6 + 4 * (199 * 200 / 2)));
}

TEST_CASE("serial: a sum over one rank is its own term") {
  SerialWorld world;
  const auto comm = make_process_group(standard_backends(), "serial", world, at::kCPU);
  auto buffer = term(0, 7, at::kFloat);
  comm->all_reduce(buffer, buffer);
  CHECK(at::equal(buffer, term(0, 7, at::kFloat)));
}

TEST_CASE("serial: the one shard is the full tensor, in both directions and any shape") {
  SerialWorld world;
  const auto comm = make_process_group(standard_backends(), "serial", world, at::kCPU);
  const auto shard = term(0, 6, at::kBFloat16).view({2, 3});
  auto full = at::zeros({1, 2, 3}, at::kBFloat16);
  comm->all_gather(shard, full);
  CHECK(at::equal(full[0], shard));
  auto back = at::zeros({2, 3}, at::kBFloat16);
  comm->reduce_scatter(full, back);
  CHECK(at::equal(back, shard));
}

// 256 + 1 is 256 in bfloat16, and 1 + 1 + 256 is 258: the order of the ring shows. Rounded once it would be 258.
TEST_CASE("gloo: bfloat16 is rounded after every addition, to the same bits on all ranks") {
  const auto sums = on_ranks("gloo", 3, [](World& world, ProcessGroup& comm) {
    auto buffer = at::full({6}, world.rank() == 0 ? 256.0F : 1.0F, at::kBFloat16);
    comm.all_reduce(buffer, buffer);
    return buffer.to(at::kFloat);
  });
  for (const auto& sum : sums) {
    CHECK(at::equal(sum, sums.front()));
    CHECK(sum.min().item<float>() == 256);
    CHECK(sum.max().item<float>() == 258);
  }
}

TEST_CASE("gloo: a peer that has failed is an error that says so") {
  const auto kind = GENERATE(Collective::all_reduce, Collective::all_gather, Collective::reduce_scatter);
  std::string text = "no error";
  const auto fail_one = [&](World& world, ProcessGroup& comm) {
    if (world.rank() == 1) throw std::runtime_error("mine");
    auto full = at::ones({4});
    auto shard = at::ones({2});
    try {
      if (kind == Collective::all_reduce) comm.all_reduce(full, full);
      if (kind == Collective::all_gather) comm.all_gather(shard, full);
      if (kind == Collective::reduce_scatter) comm.reduce_scatter(full, shard);
    } catch (const Error& error) {
      text = error.what();
    }
    return 0;
  };
  CHECK_THROWS_WITH(on_ranks("gloo", 2, fail_one), "mine");
  // "closed by peer" or "reset by peer", as the packets fall
  CHECK_THAT(text, StartsWith("backend gloo: " + std::string(to_string(kind)) + " failed (") && Contains("by peer") &&
                       Contains("check that every rank is still running"));
}

// The forward runs so, and c10d writes from threads of its own.
TEST_CASE("gloo: tensors of inference mode are written") {
  const auto fulls = on_ranks("gloo", 2, [](World& world, ProcessGroup& comm) {
    const c10::InferenceMode no_gradients;
    auto shard = term(world.rank(), 3, at::kFloat);
    auto full = at::zeros({6});
    comm.all_gather(shard, full);
    comm.reduce_scatter(full, shard);
    comm.all_reduce(shard, shard);
    return full;
  });
  const auto expected = at::cat({term(0, 3, at::kFloat), term(1, 3, at::kFloat)});
  for (const auto& full : fulls) CHECK(at::equal(full, expected));
}
