#include "support/torch_and_catch.h"

#include <sstream>

#include "parallel/layouts.h"
#include "parallel/small_model.h"
#include "tpsp/comm/counting.h"
#include "tpsp/parallel/detours.h"
#include "tpsp/parallel/lowering.h"
#include "tpsp/parallel/sharded.h"

using namespace tpsp;
using namespace tpsp::short_names;

namespace {

struct Stop {
  std::string module;
  Layout layout;
};

/// What is logged when a value of 2 x 1 x 4 fp32 elements, 32 bytes, visits the stops on two ranks.
TransitionLog log_of(Layout from, const std::vector<Stop>& stops, int ranks = 2) {
  DryCommunicator dry(0, ranks);
  TransitionLog log;
  Sharded value{.local = at::zeros({2, 1, 4}), .global = {2, 1, 4}, .layout = from};
  if (from.is_shard()) value.local = value.local.narrow(from.dim(), 0, value.local.size(from.dim()) / ranks);
  for (const auto& stop : stops) {
    value = redistribute(std::move(value), stop.layout, {.comm = dry, .log = &log}, stop.module);
  }
  return log;
}

std::string text_of(const TransitionLog& log) {
  std::ostringstream out;
  for (const auto& record : log) {
    out << record.module << ": " << to_string(record.from) << " -> " << to_string(record.to) << " by "
        << to_string(record.step) << ", " << record.whole_bytes << " B, detour of " << record.detour_of << "\n";
  }
  return out.str();
}

std::vector<std::string> detours_of(const TransitionLog& log, const std::string& rule_text) {
  std::vector<std::string> texts;
  for (const auto& finding : find_detours(log, lower(rules(rule_text), small_model(), 2))) {
    CHECK(finding.severity == Severity::warning);
    texts.push_back(finding.text);
  }
  return texts;
}

const std::string wo_rule = R"(layers\.\d+\.attention\.wo  rowwise)";

}  // namespace

TEST_CASE("the log has the module, the layouts, the step and the bytes of the whole") {
  CHECK(text_of(log_of(partial, {{"wo", seq}, {"attention", whole}})) ==
        "wo: partial -> shard(seq) by reduce-scatter, 32 B, detour of -1\n"
        "attention: shard(seq) -> replicate by all-gather, 32 B, detour of -1\n");
}

TEST_CASE("the log has no line for a value that already lies as wanted") {
  CHECK(text_of(log_of(seq, {{"norm", seq}, {"norm", seq}})).empty());
}

TEST_CASE("the log has no line on one rank") { CHECK(log_of(partial, {{"wo", whole}, {"norm", seq}}, 1).empty()); }

TEST_CASE("a slice of what an all-reduce made whole is logged as its detour") {
  CHECK(text_of(log_of(partial, {{"wo", whole}, {"ffn_norm", seq}})) ==
        "wo: partial -> replicate by all-reduce, 32 B, detour of -1\n"
        "ffn_norm: replicate -> shard(seq) by slice, 32 B, detour of 0\n");
}

TEST_CASE("a slice of what was whole from the start is nobody's detour") {
  CHECK(log_of(whole, {{"norm", seq}}).at(0).detour_of == -1);
}

TEST_CASE("a value that was cut again has forgotten who made it whole") {
  const auto log = log_of(partial, {{"wo", whole}, {"a", seq}, {"b", whole}, {"c", feature}});
  CHECK(log.at(3).detour_of == 2);
}

TEST_CASE("a slice straight from one cut to another is nobody's detour") {
  CHECK(text_of(log_of(seq, {{"w2", feature}, {"w1", feature}})) ==
        "w2: shard(seq) -> shard(feature) by all-gather, slice, 32 B, detour of -1\n");
}

TEST_CASE("an all-reduce that is then sliced is found, with its rule and what to write") {
  const auto log = log_of(partial, {{"layers.0.attention.wo", whole}, {"layers.0.ffn_norm", seq}});
  CHECK(detours_of(log, wo_rule) ==
        std::vector<std::string>{"mine.rules:1:1: layers.0.attention.wo: its all-reduce of 32 B is avoidable "
                                 "(layers.0.ffn_norm then keeps only its slice, shard(seq)); out=shard(seq) costs "
                                 "reduce-scatter"});
}

TEST_CASE("a gather that is then sliced along the same dimension is found to cost nothing instead") {
  const auto log = log_of(seq, {{"layers.0.attention.wo", whole}, {"layers.0.ffn_norm", seq}});
  CHECK(detours_of(log, wo_rule) ==
        std::vector<std::string>{"mine.rules:1:1: layers.0.attention.wo: its all-gather of 32 B is avoidable "
                                 "(layers.0.ffn_norm then keeps only its slice, shard(seq)); out=shard(seq) costs "
                                 "nothing"});
}

TEST_CASE("a gather that is then sliced along another dimension is no detour: the gather is needed") {
  CHECK(detours_of(log_of(seq, {{"layers.0.feed_forward", whole}, {"layers.0.feed_forward.w2", feature}}), wo_rule)
            .empty());
}

TEST_CASE("detours of one kind of module are found once, in the first layer") {
  auto log = log_of(partial, {{"layers.0.attention.wo", whole}, {"layers.0.ffn_norm", seq}});
  for (auto record : log_of(partial, {{"layers.1.attention.wo", whole}, {"layers.1.ffn_norm", seq}})) {
    if (record.detour_of >= 0) record.detour_of += 2;
    log.push_back(record);
  }
  const auto found = detours_of(log, wo_rule);
  REQUIRE(found.size() == 1);
  CHECK_THAT(found.front(), Catch::Contains("layers.0.attention.wo"));
}

TEST_CASE("detours of different modules are found each") {
  auto log = log_of(partial, {{"layers.0.attention.wo", whole}, {"layers.0.ffn_norm", seq}});
  for (auto record : log_of(partial, {{"layers.0.feed_forward.w2", whole}, {"layers.1.attention_norm", seq}})) {
    if (record.detour_of >= 0) record.detour_of += 2;
    log.push_back(record);
  }
  CHECK(detours_of(log, wo_rule).size() == 2);
}

TEST_CASE("a detour of a module without a rule names the plan") {
  const auto log = log_of(partial, {{"layers.0.feed_forward.w2", whole}, {"norm", seq}});
  const auto found = detours_of(log, wo_rule);
  REQUIRE(found.size() == 1);
  CHECK_THAT(found.front(), Catch::StartsWith("mine: layers.0.feed_forward.w2: its all-reduce of"));
}

TEST_CASE("a log without slices has no detours") {
  CHECK(detours_of(log_of(partial, {{"wo", seq}, {"attention", whole}}), wo_rule).empty());
}
