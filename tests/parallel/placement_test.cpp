#include "tpsp/parallel/placement.h"

#include <catch2/catch.hpp>
#include <vector>

#include "parallel/placements.h"
#include "support/thrown.h"

using namespace tpsp;
using namespace tpsp::short_names;

namespace {

struct Row {
  Placement from;
  Placement to;
  Transition step;
};

// Every pair but those that end in a partial sum.
const std::vector<Row> table{
    {replicate, replicate, Transition::none},
    {replicate, seq, Transition::slice},
    {replicate, feature, Transition::slice},
    {seq, replicate, Transition::all_gather},
    {seq, seq, Transition::none},
    {seq, feature, Transition::all_gather_slice},
    {feature, replicate, Transition::all_gather},
    {feature, seq, Transition::all_gather_slice},
    {feature, feature, Transition::none},
    {partial, replicate, Transition::all_reduce},
    {partial, seq, Transition::reduce_scatter},
    {partial, feature, Transition::reduce_scatter},
};

}  // namespace

TEST_CASE("every change of placement is the one step of the table") {
  for (const auto& row : table) {
    INFO(to_string(row.from) << " -> " << to_string(row.to));
    CHECK(to_string(transition(row.from, row.to)) == to_string(row.step));
  }
}

TEST_CASE("a partial sum may stay one") { CHECK(transition(partial, partial) == Transition::none); }

TEST_CASE("nothing that is replicated or sharded can become a partial sum") {
  const auto from = GENERATE(replicate, seq, feature);
  CHECK(complaint_of([&] { transition(from, partial); }) ==
        "placement: " + to_string(from) +
            " can not become partial (only a row-wise module leaves a partial sum); ask for replicate or shard(seq)");
}

TEST_CASE("a placement's text is read back as the placement") {
  const auto placement = GENERATE(replicate, seq, feature, partial);
  CHECK(parse_placement(to_string(placement)) == placement);
}

TEST_CASE("placements are written in the words of plan files") {
  CHECK(to_string(replicate) == "replicate");
  CHECK(to_string(seq) == "shard(seq)");
  CHECK(to_string(feature) == "shard(feature)");
  CHECK(to_string(partial) == "partial");
}

TEST_CASE("a shard may be written with its dimension's number") {
  CHECK(parse_placement("shard(0)") == seq);
  CHECK(parse_placement("shard(2)") == feature);
  CHECK(parse_placement("shard(-1)") == feature);
}

TEST_CASE("no other text is a placement") {
  const auto text = GENERATE("", "shard", "shard()", "shard(1)", "shard(batch)", "Replicate", " replicate", "partial ",
                             "shard(seq)x", "sum");
  CAPTURE(text);
  CHECK_FALSE(parse_placement(text).has_value());
}

TEST_CASE("a placement knows which dimension it shards") {
  CHECK(seq.is_shard(seq_dim));
  CHECK_FALSE(seq.is_shard(feature_dim));
  CHECK_FALSE(replicate.is_shard());
  CHECK_FALSE(partial.is_shard());
  CHECK(seq != feature);
}

TEST_CASE("the steps have the names of the collectives they are made of") {
  CHECK(to_string(Transition::none) == "none");
  CHECK(to_string(Transition::slice) == "slice");
  CHECK(to_string(Transition::all_reduce) == "all-reduce");
  CHECK(to_string(Transition::reduce_scatter) == "reduce-scatter");
  CHECK(to_string(Transition::all_gather) == "all-gather");
  CHECK(to_string(Transition::all_gather_slice) == "all-gather, slice");
}
