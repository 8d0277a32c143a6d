// A global value is made, cut over the ranks by hand, redistributed, and compared with the cut that was asked for.
#include "support/torch_and_catch.h"

#include <random>

#include "comm/ranks.h"
#include "parallel/layouts.h"
#include "support/thrown.h"
#include "tpsp/comm/counting.h"
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

Sharded part_of(const at::Tensor& global, Layout layout, const Communicator& comm) {
  Sharded part{.local = global.clone(), .global = global.sizes().vec(), .layout = layout};
  if (layout.is_partial()) part.local = term_of(global, comm.rank(), comm.size());
  if (layout.is_shard()) part.local = global.chunk(comm.size(), layout.dim())[static_cast<std::size_t>(comm.rank())];
  return part;
}

// What is wrong with `value` on this rank, or nothing.
std::string fault_of(const Sharded& value, const at::Tensor& global, Layout layout, const Communicator& comm) {
  if (value.layout != layout) return "the layout is " + to_string(value.layout);
  if (value.global != global.sizes().vec()) return "the global sizes have changed";
  if (!at::equal(value.local, part_of(global, layout, comm).local)) return "the elements are wrong";
  return {};
}

std::vector<std::string> faults_of_change(Layout from, Layout to, int ranks, at::ScalarType dtype) {
  return on_ranks(ranks, [&](World&, Communicator& comm) {
    const auto global = global_value(dtype);
    const auto value = redistribute(part_of(global, from, comm), to, {.comm = comm}, "wo");
    return fault_of(value, global, to, comm);
  });
}

std::vector<std::string> no_faults(int ranks) { return std::vector<std::string>(static_cast<std::size_t>(ranks)); }

std::vector<Layout> random_layouts(unsigned seed, int count) {
  std::mt19937 generator(seed);
  const std::vector<Layout> choices{whole, seq, feature};
  std::vector<Layout> layouts;
  for (int i = 0; i < count; ++i) layouts.push_back(choices[generator() % choices.size()]);
  return layouts;
}

}  // namespace

TEST_CASE("every legal change of layout leaves each rank its part of the same global value") {
  const int ranks = GENERATE(1, 2, 4);
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  for (const auto from : {whole, seq, feature, partial}) {
    for (const auto to : {whole, seq, feature}) {
      INFO(to_string(from) << " -> " << to_string(to) << " on " << ranks << " ranks");
      CHECK(faults_of_change(from, to, ranks, dtype) == no_faults(ranks));
    }
  }
}

TEST_CASE("a partial sum that is wanted partial keeps its terms") {
  const int ranks = GENERATE(1, 2, 4);
  // On one rank the only term is the whole.
  CHECK(faults_of_change(partial, partial, ranks, at::kFloat) == no_faults(ranks));
}

TEST_CASE("a gather along the feature dimension puts each rank's features side by side") {
  const auto wholes = on_ranks(2, [](World& world, Communicator& comm) {
    const auto mine = at::full({2, 1, 2}, static_cast<float>(world.rank() + 1));
    const Sharded value{.local = mine, .global = {2, 1, 4}, .layout = feature};
    return redistribute(value, whole, {.comm = comm}, "output").local;
  });
  for (const auto& all : wholes) {
    CHECK(at::equal(all.view({2, 4}), at::tensor({1.0F, 1.0F, 2.0F, 2.0F, 1.0F, 1.0F, 2.0F, 2.0F}).view({2, 4})));
  }
}

TEST_CASE("a reduce-scatter along the feature dimension leaves each rank its features of the sum") {
  const auto parts = on_ranks(2, [](World& world, Communicator& comm) {
    const auto term = at::tensor({1.0F, 2.0F, 3.0F, 4.0F}).mul(world.rank() + 1).view({1, 1, 4});
    return redistribute({.local = term, .global = {1, 1, 4}, .layout = partial}, feature, {.comm = comm}, "wo").local;
  });
  CHECK(at::equal(parts[0].flatten(), at::tensor({3.0F, 6.0F})));
  CHECK(at::equal(parts[1].flatten(), at::tensor({9.0F, 12.0F})));
}

TEST_CASE("any walk over layouts keeps the global value") {
  const auto seed = GENERATE(range(1U, 13U));
  const int ranks = GENERATE(2, 4);
  const auto walk = random_layouts(seed, 20);
  const auto faults = on_ranks(ranks, [&](World&, Communicator& comm) {
    const auto global = global_value(at::kFloat);
    auto value = part_of(global, partial, comm);
    for (const auto layout : walk) {
      value = redistribute(std::move(value), layout, {.comm = comm}, "wo");
      if (const auto fault = fault_of(value, global, layout, comm); !fault.empty()) return fault;
    }
    return std::string();
  });
  CAPTURE(seed, ranks);
  CHECK(faults == no_faults(ranks));
}

TEST_CASE("a change of layout is at most one collective") {
  DryCommunicator dry(0, 2);
  const auto global = global_value(at::kFloat);
  for (const auto from : {whole, seq, feature, partial}) {
    for (const auto to : {whole, seq, feature}) {
      CountingCommunicator counting(dry);
      redistribute(part_of(global, from, dry), to, {.comm = counting}, "wo");
      const auto& counts = counting.counts();
      INFO(to_string(from) << " -> " << to_string(to));
      CHECK(counts.all_reduces + counts.all_gathers + counts.reduce_scatters == (from == to || from == whole ? 0 : 1));
    }
  }
}

TEST_CASE("an all-reduce works in place, so that the sum needs no second buffer") {
  DryCommunicator dry(0, 2);
  const auto value = part_of(global_value(at::kFloat), partial, dry);
  CHECK(redistribute(value, whole, {.comm = dry}, "wo").local.data_ptr() == value.local.data_ptr());
}

TEST_CASE("a partial sum whose local part is not contiguous is reduced all the same") {
  const auto to = GENERATE(whole, seq, feature);
  const auto faults = on_ranks(2, [&](World&, Communicator& comm) {
    const auto global = global_value(at::kFloat);
    auto value = part_of(global, partial, comm);
    value.local = value.local.transpose(0, 2).contiguous().transpose(0, 2);
    return fault_of(redistribute(value, to, {.comm = comm}, "wo"), global, to, comm);
  });
  CHECK(faults == no_faults(2));
}

TEST_CASE("a sequence that does not divide by the ranks is refused with module and sizes") {
  DryCommunicator dry(0, 3);
  const Sharded value{.local = at::zeros({8, 3, 6}), .global = {8, 3, 6}, .layout = whole};
  CHECK(
      complaint_of([&] { redistribute(value, seq, {.comm = dry}, "layers.0.ffn_norm"); }) ==
      "layers.0.ffn_norm: shard(seq) of 8 elements does not divide over 3 ranks; use a world size that divides it, or "
      "another layout");
}

TEST_CASE("features that do not divide by the ranks are refused from every layout") {
  DryCommunicator dry(0, 3);
  const auto from = GENERATE(whole, partial);
  const Sharded value{.local = at::zeros({9, 1, 4}), .global = {9, 1, 4}, .layout = from};
  CHECK_THAT(complaint_of([&] { redistribute(value, feature, {.comm = dry}, "output"); }),
             Catch::StartsWith("output: shard(feature) of 4 elements does not divide over 3 ranks"));
}

TEST_CASE("nothing can be brought to a partial sum, on one rank neither") {
  DryCommunicator dry(0, GENERATE(1, 2));
  const auto value = part_of(global_value(at::kFloat), whole, dry);
  CHECK_THAT(complaint_of([&] { redistribute(value, partial, {.comm = dry}, "wo"); }),
             Catch::Contains("replicate can not become partial"));
}
