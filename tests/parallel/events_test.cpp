#include "support/torch_and_catch.h"

#include <sstream>

#include "parallel/placements.h"
#include "parallel/small_model.h"
#include "tpsp/comm/dry.h"
#include "tpsp/parallel/detours.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"

using namespace tpsp;
using namespace tpsp::short_names;

namespace {

struct Stop {
  std::string module;
  Placement placement;
};

/// Redistributes a value of 2 x 1 x 4 fp32 elements, 32 bytes, to the stops in turn, and logs that.
void redistribute_over(EventLog& log, Placement from, const std::vector<Stop>& stops, int ranks = 2) {
  DryProcessGroup dry(0, ranks);
  Sharded value{.local = at::zeros({2, 1, 4}), .global = {2, 1, 4}, .placement = from};
  if (from.is_shard()) value.local = value.local.narrow(from.dim(), 0, value.local.size(from.dim()) / ranks);
  for (const auto& stop : stops) {
    value = redistribute(std::move(value), stop.placement, {.tp = dry, .events = &log}, stop.module);
  }
}

EventLog log_of(Placement from, const std::vector<Stop>& stops, int ranks = 2) {
  EventLog log;
  redistribute_over(log, from, stops, ranks);
  return log;
}

std::string text_of(const EventLog& log) {
  std::ostringstream out;
  for (const auto& [module, event] : log.entries()) {
    out << module << ": " << to_string(event.from) << " -> " << to_string(event.to) << " by "
        << to_string(event.transition) << ", " << event.bytes << " B, reads " << event.reads << "\n";
  }
  return out.str();
}

std::vector<std::string> detours_of(const EventLog& log, const std::string& rule_text) {
  std::vector<std::string> texts;
  for (const auto& finding : find_detours(log, lower(rules(rule_text), small_model(), 2))) {
    CHECK(finding.severity == Severity::warning);
    texts.push_back(finding.text);
  }
  return texts;
}

const std::string wo_rule = R"(layers\.\d+\.attention\.wo  rowwise)";

}  // namespace

TEST_CASE("an event has the module, the placements, the transition and the bytes of the full value") {
  CHECK(text_of(log_of(partial, {{"wo", seq}, {"attention", replicate}})) ==
        "wo: partial -> shard(seq) by reduce-scatter, 32 B, reads -1\n"
        "attention: shard(seq) -> replicate by all-gather, 32 B, reads 0\n");
}

TEST_CASE("a value that already lies as wanted makes no event") {
  CHECK(text_of(log_of(seq, {{"norm", seq}, {"norm", seq}})).empty());
}

TEST_CASE("one rank makes no events") {
  CHECK(log_of(partial, {{"wo", replicate}, {"norm", seq}}, 1).entries().empty());
}

TEST_CASE("a slice is of the collective that made what it slices, adds and norms between them aside") {
  auto log = log_of(partial, {{"wo", replicate}, {"ffn_norm", seq}});
  CHECK(gathered_for(log, 1) == 0);
  const auto norm = log.begin({.phase = Phase::norm, .module = "ffn_norm", .reads = 0});
  const auto slice = log.begin({.phase = Phase::move, .module = "w1", .reads = norm, .transition = Transition::slice});
  CHECK(gathered_for(log, slice) == 0);
}

TEST_CASE("a slice of what was replicated from the start is of no collective") {
  CHECK(!gathered_for(log_of(replicate, {{"norm", seq}}), 0));
  CHECK(!gathered_for(log_of(replicate, {{"a", seq}, {"b", seq}}), 0));
}

TEST_CASE("a slice of a value that was gathered again is of the last gather") {
  const auto log = log_of(partial, {{"wo", replicate}, {"a", seq}, {"b", replicate}, {"c", feature}});
  CHECK(gathered_for(log, 3) == 2);
}

TEST_CASE("a change from one shard to another is one event") {
  CHECK(text_of(log_of(seq, {{"w2", feature}, {"w1", feature}})) ==
        "w2: shard(seq) -> shard(feature) by all-gather, slice, 32 B, reads -1\n");
}

TEST_CASE("an all-reduce that is then sliced is found, with its rule and what to write") {
  const auto log = log_of(partial, {{"layers.0.attention.wo", replicate}, {"layers.0.ffn_norm", seq}});
  CHECK(detours_of(log, wo_rule) ==
        std::vector<std::string>{"mine.rules:1:1: layers.0.attention.wo: its all-reduce of 32 B is avoidable "
                                 "(layers.0.ffn_norm then keeps only its slice, shard(seq)); out=shard(seq) costs "
                                 "reduce-scatter"});
}

TEST_CASE("a gather that is then sliced along the same dimension is found to cost nothing instead") {
  const auto log = log_of(seq, {{"layers.0.attention.wo", replicate}, {"layers.0.ffn_norm", seq}});
  CHECK(detours_of(log, wo_rule) ==
        std::vector<std::string>{"mine.rules:1:1: layers.0.attention.wo: its all-gather of 32 B is avoidable "
                                 "(layers.0.ffn_norm then keeps only its slice, shard(seq)); out=shard(seq) costs "
                                 "nothing"});
}

TEST_CASE("a gather that is then sliced along another dimension is no detour: the gather is needed") {
  CHECK(detours_of(log_of(seq, {{"layers.0.feed_forward", replicate}, {"layers.0.feed_forward.w2", feature}}), wo_rule)
            .empty());
}

TEST_CASE("detours of one kind of module are found once, in the first block") {
  auto log = log_of(partial, {{"layers.0.attention.wo", replicate}, {"layers.0.ffn_norm", seq}});
  REQUIRE(detours_of(log, wo_rule).size() == 1);
  log.begin(
      {.module = "layers.1.attention.wo", .transition = Transition::all_reduce, .from = partial, .to = replicate});
  log.begin({.module = "layers.1.ffn_norm", .reads = 2, .transition = Transition::slice, .from = replicate, .to = seq});
  const auto found = detours_of(log, wo_rule);
  REQUIRE(found.size() == 1);
  CHECK_THAT(found.front(), Catch::Contains("layers.0.attention.wo"));
}

TEST_CASE("detours of different modules are found each") {
  auto log = log_of(partial, {{"layers.0.attention.wo", replicate}, {"layers.0.ffn_norm", seq}});
  log.begin(
      {.module = "layers.0.feed_forward.w2", .transition = Transition::all_reduce, .from = partial, .to = replicate});
  log.begin({.module = "layers.1.attention_norm", .reads = 2, .transition = Transition::slice, .to = seq});
  CHECK(detours_of(log, wo_rule).size() == 2);
}

TEST_CASE("a detour of a module without a rule names the plan") {
  const auto log = log_of(partial, {{"layers.0.feed_forward.w2", replicate}, {"norm", seq}});
  const auto found = detours_of(log, wo_rule);
  REQUIRE(found.size() == 1);
  CHECK_THAT(found.front(), Catch::StartsWith("mine: layers.0.feed_forward.w2: its all-reduce of"));
}

TEST_CASE("a log without slices has no detours") {
  CHECK(detours_of(log_of(partial, {{"wo", seq}, {"attention", replicate}}), wo_rule).empty());
}

TEST_CASE("a counter counts collectives by kind, and the bytes that a rank sends") {
  const int ranks = 3;
  EventCounter counter(ranks);
  for (const auto step : {Transition::all_reduce, Transition::reduce_scatter, Transition::all_gather,
                          Transition::all_gather_slice, Transition::slice, Transition::none}) {
    counter.begin({.transition = step, .bytes = 900});
    counter.end();
  }
  CHECK(counter.counts() == CommCounts{.all_reduces = 1,
                                       .all_gathers = 2,
                                       .reduce_scatters = 1,
                                       .bytes = bytes_sent(Collective::all_reduce, 900, ranks) +
                                                bytes_sent(Collective::reduce_scatter, 900, ranks) +
                                                2 * bytes_sent(Collective::all_gather, 900, ranks)});
  counter.reset();
  CHECK(counter.counts() == CommCounts{});
}
