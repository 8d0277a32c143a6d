#include "tpsp/parallel/layout.h"

#include <catch2/catch.hpp>
#include <vector>

#include "support/thrown.h"

using namespace tpsp;

namespace {

struct Row {
  Layout from;
  Layout to;
  Transition step;
};

constexpr auto whole = Layout::replicate();
constexpr auto seq = Layout::shard(seq_dim);
constexpr auto feature = Layout::shard(feature_dim);
constexpr auto partial = Layout::partial();

// Every pair but those that end in a partial sum.
const std::vector<Row> table{
    {whole, whole, Transition::none},
    {whole, seq, Transition::slice},
    {whole, feature, Transition::slice},
    {seq, whole, Transition::all_gather},
    {seq, seq, Transition::none},
    {seq, feature, Transition::all_gather_slice},
    {feature, whole, Transition::all_gather},
    {feature, seq, Transition::all_gather_slice},
    {feature, feature, Transition::none},
    {partial, whole, Transition::all_reduce},
    {partial, seq, Transition::reduce_scatter},
    {partial, feature, Transition::reduce_scatter},
};

}  // namespace

TEST_CASE("every change of layout is the one step of the table") {
  for (const auto& row : table) {
    INFO(to_string(row.from) << " -> " << to_string(row.to));
    CHECK(to_string(transition(row.from, row.to)) == to_string(row.step));
  }
}

TEST_CASE("a partial sum may stay one") { CHECK(transition(partial, partial) == Transition::none); }

TEST_CASE("nothing that is whole or cut can become a partial sum") {
  const auto from = GENERATE(whole, seq, feature);
  CHECK(complaint_of([&] { transition(from, partial); }) ==
        "layout: " + to_string(from) +
            " can not become partial (only a row-wise product leaves a partial sum); ask for replicate or shard(seq)");
}

TEST_CASE("a layout's text is read back as the layout") {
  const auto layout = GENERATE(whole, seq, feature, partial);
  CHECK(parse_layout(to_string(layout)) == layout);
}

TEST_CASE("layouts are written in the words of plan files") {
  CHECK(to_string(whole) == "replicate");
  CHECK(to_string(seq) == "shard(seq)");
  CHECK(to_string(feature) == "shard(feature)");
  CHECK(to_string(partial) == "partial");
}

TEST_CASE("a shard may be written with its dimension's number") {
  CHECK(parse_layout("shard(0)") == seq);
  CHECK(parse_layout("shard(2)") == feature);
  CHECK(parse_layout("shard(-1)") == feature);
}

TEST_CASE("no other text is a layout") {
  const auto text = GENERATE("", "shard", "shard()", "shard(1)", "shard(batch)", "Replicate", " replicate", "partial ",
                             "shard(seq)x", "sum");
  CAPTURE(text);
  CHECK_FALSE(parse_layout(text).has_value());
}

TEST_CASE("a layout knows which dimension it cuts") {
  CHECK(seq.is_shard(seq_dim));
  CHECK_FALSE(seq.is_shard(feature_dim));
  CHECK_FALSE(whole.is_shard());
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
