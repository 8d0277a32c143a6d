#include "tpsp/parallel/lowering.h"

#include <catch2/catch.hpp>

#include "parallel/placements.h"
#include "parallel/small_model.h"

using namespace tpsp;
using namespace tpsp::short_names;

namespace {

/// "colwise want=replicate computed=shard(feature) out=shard(feature) weight_dim=0"
std::string text_of(const ModulePlan& module_plan) {
  return std::string(to_string(module_plan.style)) + " want=" + text_of(module_plan.input) +
         " computed=" + to_string(module_plan.computed) + " out=" + to_string(module_plan.output) +
         " weight_dim=" + (module_plan.weight_dim ? std::to_string(*module_plan.weight_dim) : "-");
}

/// Where the module lies under the one rule `<its name> <rule>`, on two ranks.
std::string placed(const std::string& module, const std::string& rule) {
  return text_of(lower(rules(module + " " + rule), small_model(), 2).at(module));
}

LoweredPlan lowered(const std::string& rule_text, int world = 2) {
  return lower(rules(rule_text), small_model(), world);
}

}  // namespace

TEST_CASE("a column-wise linear takes the replicated input and gives each rank its features") {
  CHECK(placed("output", "colwise") ==
        "colwise want=replicate computed=shard(feature) out=shard(feature) weight_dim=0");
}

TEST_CASE("a row-wise linear takes each rank's features and leaves a partial sum, which is all-reduced") {
  CHECK(placed("output", "rowwise") == "rowwise want=shard(feature) computed=partial out=replicate weight_dim=1");
}

TEST_CASE("a row-wise embedding is sharded along the vocabulary and leaves a partial sum") {
  CHECK(placed("tok_embeddings", "rowwise") == "rowwise want=- computed=partial out=replicate weight_dim=0");
}

TEST_CASE("a column-wise embedding is sharded along the hidden dimension") {
  CHECK(placed("tok_embeddings", "colwise") ==
        "colwise want=- computed=shard(feature) out=shard(feature) weight_dim=1");
}

TEST_CASE("a norm or linear in sequence style is replicated and works on sharded tokens") {
  const std::string name = GENERATE("norm", "output");
  CHECK(placed(name, "sequence") == "sequence want=shard(seq) computed=shard(seq) out=shard(seq) weight_dim=-");
}

TEST_CASE("a module in replicate style has the full weight and works on all tokens") {
  const std::string name = GENERATE("norm", "output");
  CHECK(placed(name, "replicate") == "replicate want=replicate computed=replicate out=replicate weight_dim=-");
}

TEST_CASE("a replicated embedding wants nothing of its input") {
  CHECK(placed("tok_embeddings", "replicate") == "replicate want=- computed=replicate out=replicate weight_dim=-");
}

TEST_CASE("a module without a rule is replicated and names no rule") {
  const auto plan = lowered("output colwise");
  CHECK(text_of(plan.at("norm")) == "replicate want=replicate computed=replicate out=replicate weight_dim=-");
  CHECK(plan.at("norm").rule.empty());
}

TEST_CASE("a module plan names the rule that made it") {
  CHECK(lowered("# first\noutput colwise").at("output").rule == "mine.rules:2:1");
}

TEST_CASE("a rule's in= is kept for the forward pass to check") {
  CHECK(lowered("output colwise in=shard(seq)").at("output").required_input == seq);
  CHECK_FALSE(lowered("output colwise").at("output").required_input.has_value());
}

TEST_CASE("a rule's out= is what the result is brought to") {
  CHECK(placed("output", "colwise out=shard(seq)") ==
        "colwise want=replicate computed=shard(feature) out=shard(seq) weight_dim=0");
  CHECK(placed("output", "rowwise out=partial") ==
        "rowwise want=shard(feature) computed=partial out=partial weight_dim=1");
}

TEST_CASE("want= may say what the style computes from anyway") {
  CHECK(placed("output", "rowwise want=shard(feature)") == placed("output", "rowwise"));
}

TEST_CASE("a container's want= is what its input is brought to") {
  const auto plan = lowered("layers\\.0\\.attention prepare_input want=shard(seq)");
  CHECK(plan.at("layers.0.attention").input == seq);
}

TEST_CASE("a container without a rule wants what all its readers want") {
  const auto plan = lowered("layers\\.0\\.attention\\.w[qkv] sequence\nlayers\\.1\\.attention\\.w[qkv] colwise");
  CHECK(plan.at("layers.0.attention").input == seq);
  CHECK(plan.at("layers.1.attention").input == replicate);
}

TEST_CASE("a container whose rule has no want= takes its readers' too") {
  const auto plan = lowered("layers\\.0\\.attention prepare_input in=shard(seq)\nlayers\\.0\\..*\\.w[qkv] colwise");
  CHECK(plan.at("layers.0.attention").input == replicate);
}

TEST_CASE("a container whose readers want different things leaves its input alone") {
  CHECK_FALSE(lowered("layers\\.0\\.attention\\.wq sequence").at("layers.0.attention").input.has_value());
}

TEST_CASE("of several matching rules the last one wins") {
  const auto plan = lowered("layers\\..*\\.wo rowwise\nlayers\\.1\\..*\\.wo replicate");
  CHECK(plan.at("layers.0.attention.wo").style == Style::rowwise);
  CHECK(plan.at("layers.1.attention.wo").style == Style::replicate);
}

TEST_CASE("a pattern matches whole names, not parts of them") {
  const auto plan = lowered("norm sequence");
  CHECK(plan.at("norm").style == Style::sequence);
  CHECK(plan.at("layers.0.ffn_norm").style == Style::replicate);
}

TEST_CASE("a vocabulary that does not divide is padded, not refused") {
  const auto plan = lowered("output colwise\ntok_embeddings rowwise", 4);
  CHECK(plan.at("output").weight_dim == 0);
  CHECK(plan.at("tok_embeddings").weight_dim == 0);
}

TEST_CASE("a lowered plan keeps its name, its world and the modules in forward order") {
  const auto plan = lowered("output colwise", 4);
  CHECK(plan.name == "mine");
  CHECK(plan.world == 4);
  REQUIRE(plan.modules.size() == small_model().size());
  CHECK(plan.modules.front().name == "tok_embeddings");
  CHECK(plan.module_plans.size() == plan.modules.size());
}

TEST_CASE("the built-in plans fit the modules without findings, in either form") {
  const std::string name = GENERATE("tp", "tp+sp", "tp.rules", "tp+sp.rules");
  const auto plan = lower(load_plan(name), small_model(), 2);
  CAPTURE(name);
  std::string findings;
  for (const auto& finding : plan.findings) findings += finding.text;
  CHECK(findings == "");
}

TEST_CASE("tp and tp+sp have the same weight sharding") {
  CHECK(lower(load_plan("tp"), small_model(), 2).weight_sharding() ==
        lower(load_plan("tp+sp"), small_model(), 2).weight_sharding());
}

TEST_CASE("plans that shard a weight along different dimensions have different signatures") {
  const auto colwise = lowered("output colwise").weight_sharding();
  CHECK(colwise != lowered("output rowwise").weight_sharding());
  CHECK(colwise != lowered("output replicate").weight_sharding());
  CHECK(colwise != lowered("layers\\.0\\.attention\\.wo colwise").weight_sharding());
}

TEST_CASE("tp+sp shards the sequence and tp does not") {
  CHECK(lower(load_plan("tp+sp"), small_model(), 2).shards_sequence());
  CHECK_FALSE(lower(load_plan("tp"), small_model(), 2).shards_sequence());
}

TEST_CASE("one output or one container's want along the sequence is enough to shard it") {
  CHECK(lowered("layers\\.0\\.attention\\.wo rowwise out=shard(seq)").shards_sequence());
  CHECK(lowered("layers\\.0\\.attention prepare_input want=shard(seq)").shards_sequence());
  CHECK_FALSE(lowered("output colwise").shards_sequence());
}
