// A global value is made, sharded over the ranks by hand, redistributed, and compared with the shards that were asked
// for.
#include "support/torch_and_catch.h"

#include <random>

#include "comm/ranks.h"
#include "parallel/placements.h"
#include "support/thrown.h"
#include "tpsp/comm/dry.h"
#include "tpsp/parallel/sharded.h"

using namespace tpsp;
using namespace tpsp::short_names;

namespace {

// [seq, batch, feature], every element another number, all of them exact in bfloat16.
at::Tensor global_value(at::ScalarType dtype) { return at::arange(8 * 3 * 4).view({8, 3, 4}).to(dtype); }

// Terms that differ at every place and from rank to rank; over the ranks they add up to the global value.
at::Tensor term_of(const at::Tensor& global, int rank, int ranks) {
  if (rank > 0) return at::roll(global, {rank}, {0});
  auto rest = global.clone();
  for (int peer = 1; peer < ranks; ++peer) rest.sub_(term_of(global, peer, ranks));
  return rest;
}

Sharded part_of(const at::Tensor& global, Placement placement, const ProcessGroup& comm) {
  Sharded part{.local = global.clone(), .global = global.sizes().vec(), .placement = placement};
  if (placement.is_partial()) part.local = term_of(global, comm.rank(), comm.size());
  if (placement.is_shard())
    part.local = global.chunk(comm.size(), placement.dim())[static_cast<std::size_t>(comm.rank())];
  return part;
}

// What is wrong with `value` on this rank, or nothing.
std::string fault_of(const Sharded& value, const at::Tensor& global, Placement placement, const ProcessGroup& comm) {
  if (value.placement != placement) return "the placement is " + to_string(value.placement);
  if (value.global != global.sizes().vec()) return "the global sizes have changed";
  if (!at::equal(value.local, part_of(global, placement, comm).local)) return "the elements are wrong";
  return {};
}

std::vector<std::string> faults_of_change(Placement from, Placement to, int ranks, at::ScalarType dtype) {
  return on_ranks(ranks, [&](World&, ProcessGroup& comm) {
    const auto global = global_value(dtype);
    const auto value = redistribute(part_of(global, from, comm), to, {.tp = comm}, "wo");
    return fault_of(value, global, to, comm);
  });
}

std::vector<std::string> no_faults(int ranks) { return std::vector<std::string>(static_cast<std::size_t>(ranks)); }

std::vector<Placement> random_placements(unsigned seed, int count) {
  std::mt19937 generator(seed);
  const std::vector<Placement> choices{replicate, seq, feature};
  std::vector<Placement> placements;
  for (int i = 0; i < count; ++i) placements.push_back(choices[generator() % choices.size()]);
  return placements;
}

}  // namespace

TEST_CASE("every legal change of placement leaves each rank its part of the same global value") {
  const int ranks = GENERATE(1, 2, 4);
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  for (const auto from : {replicate, seq, feature, partial}) {
    for (const auto to : {replicate, seq, feature}) {
      INFO(to_string(from) << " -> " << to_string(to) << " on " << ranks << " ranks");
      CHECK(faults_of_change(from, to, ranks, dtype) == no_faults(ranks));
    }
  }
}

TEST_CASE("a partial sum that is wanted partial keeps its terms") {
  const int ranks = GENERATE(1, 2, 4);
  // On one rank the only term is the full value.
  CHECK(faults_of_change(partial, partial, ranks, at::kFloat) == no_faults(ranks));
}

TEST_CASE("a gather along the feature dimension puts each rank's features side by side") {
  const auto results = on_ranks(2, [](World& world, ProcessGroup& comm) {
    const auto mine = at::full({2, 1, 2}, static_cast<float>(world.rank() + 1));
    const Sharded value{.local = mine, .global = {2, 1, 4}, .placement = feature};
    return redistribute(value, replicate, {.tp = comm}, "output").local;
  });
  for (const auto& all : results) {
    CHECK(at::equal(all.view({2, 4}), at::tensor({1.0F, 1.0F, 2.0F, 2.0F, 1.0F, 1.0F, 2.0F, 2.0F}).view({2, 4})));
  }
}

TEST_CASE("a reduce-scatter along the feature dimension leaves each rank its features of the sum") {
  const auto parts = on_ranks(2, [](World& world, ProcessGroup& comm) {
    const auto term = at::tensor({1.0F, 2.0F, 3.0F, 4.0F}).mul(world.rank() + 1).view({1, 1, 4});
    return redistribute({.local = term, .global = {1, 1, 4}, .placement = partial}, feature, {.tp = comm}, "wo").local;
  });
  CHECK(at::equal(parts[0].flatten(), at::tensor({3.0F, 6.0F})));
  CHECK(at::equal(parts[1].flatten(), at::tensor({9.0F, 12.0F})));
}

TEST_CASE("any series of redistributions keeps the global value") {
  const auto seed = GENERATE(range(1U, 13U));
  const int ranks = GENERATE(2, 4);
  const auto placements = random_placements(seed, 20);
  const auto faults = on_ranks(ranks, [&](World&, ProcessGroup& comm) {
    const auto global = global_value(at::kFloat);
    auto value = part_of(global, partial, comm);
    for (const auto placement : placements) {
      value = redistribute(std::move(value), placement, {.tp = comm}, "wo");
      if (const auto fault = fault_of(value, global, placement, comm); !fault.empty()) return fault;
    }
    return std::string();
  });
  CAPTURE(seed, ranks);
  CHECK(faults == no_faults(ranks));
}

TEST_CASE("a change of placement is at most one collective") {
  DryProcessGroup dry(0, 2);
  const auto global = global_value(at::kFloat);
  for (const auto from : {replicate, seq, feature, partial}) {
    for (const auto to : {replicate, seq, feature}) {
      EventCounter counter(2);
      redistribute(part_of(global, from, dry), to, {.tp = dry, .events = &counter}, "wo");
      const auto& counts = counter.counts();
      INFO(to_string(from) << " -> " << to_string(to));
      CHECK(counts.all_reduces + counts.all_gathers + counts.reduce_scatters ==
            (from == to || from == replicate ? 0 : 1));
    }
  }
}

TEST_CASE("an all-reduce works in place, so that the sum needs no second buffer") {
  DryProcessGroup dry(0, 2);
  const auto value = part_of(global_value(at::kFloat), partial, dry);
  CHECK(redistribute(value, replicate, {.tp = dry}, "wo").local.data_ptr() == value.local.data_ptr());
}

TEST_CASE("a partial sum whose local part is not contiguous is reduced all the same") {
  const auto to = GENERATE(replicate, seq, feature);
  const auto faults = on_ranks(2, [&](World&, ProcessGroup& comm) {
    const auto global = global_value(at::kFloat);
    auto value = part_of(global, partial, comm);
    value.local = value.local.transpose(0, 2).contiguous().transpose(0, 2);
    return fault_of(redistribute(value, to, {.tp = comm}, "wo"), global, to, comm);
  });
  CHECK(faults == no_faults(2));
}

TEST_CASE("a sequence that does not divide by the ranks is refused with module and sizes") {
  DryProcessGroup dry(0, 3);
  const Sharded value{.local = at::zeros({8, 3, 6}), .global = {8, 3, 6}, .placement = replicate};
  CHECK(
      complaint_of([&] { redistribute(value, seq, {.tp = dry}, "layers.0.ffn_norm"); }) ==
      "layers.0.ffn_norm: shard(seq) of 8 elements does not divide over 3 ranks; use a world size that divides it, or "
      "another placement");
}

TEST_CASE("features that do not divide by the ranks are refused from every placement") {
  DryProcessGroup dry(0, 3);
  const auto from = GENERATE(replicate, partial);
  const Sharded value{.local = at::zeros({9, 1, 4}), .global = {9, 1, 4}, .placement = from};
  CHECK_THAT(complaint_of([&] { redistribute(value, feature, {.tp = dry}, "output"); }),
             Catch::StartsWith("output: shard(feature) of 4 elements does not divide over 3 ranks"));
}

TEST_CASE("nothing can be brought to a partial sum, on one rank neither") {
  DryProcessGroup dry(0, GENERATE(1, 2));
  const auto value = part_of(global_value(at::kFloat), replicate, dry);
  CHECK_THAT(complaint_of([&] { redistribute(value, partial, {.tp = dry}, "wo"); }),
             Catch::Contains("replicate can not become partial"));
}
