// Plans that mix styles freely: each is right, or refused.

#include "support/forward_on_ranks.h"
#include "support/random_plan.h"
#include "support/thrown.h"

using namespace tpsp;
using Catch::Contains;

namespace {

const std::string replicated_embedding = "  - {match: 'tok_embeddings', style: replicate}\n";
const std::string ffn_parallel =
    "  - {match: 'layers\\.\\d+\\.feed_forward\\.(w1|w3)', style: colwise}\n"
    "  - {match: 'layers\\.\\d+\\.feed_forward\\.w2', style: rowwise}\n";
const std::string attention_parallel =
    "  - {match: 'layers\\.\\d+\\.attention\\.(wq|wk|wv)', style: colwise}\n"
    "  - {match: 'layers\\.\\d+\\.attention\\.wo', style: rowwise}\n";

/// A shipped plan with more rules after its own.
Plan with(const std::string& name, const std::string& rules) {
  auto plan = load_plan(name);
  for (const auto& rule : inline_plan(rules).rules) plan.rules.push_back(rule);
  return plan;
}

double error_of(const Plan& plan, int world) {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 2, 7, config.vocabulary);
  return largest_error(forward_on_ranks(config, plan, world, tokens), unsharded_logits(config, tokens));
}

double error_at_2_and_4(const Plan& plan) { return std::max(error_of(plan, 2), error_of(plan, 4)); }

std::string forward_complaint(const Plan& plan, int world) {
  return complaint_of([&] { error_of(plan, world); });
}

}  // namespace

TEST_CASE("a plan that shards only the feed-forward is right") {
  CHECK(error_at_2_and_4(inline_plan(ffn_parallel)) < 1e-5);
}

TEST_CASE("a plan that shards only attention is right") {
  CHECK(error_at_2_and_4(inline_plan(attention_parallel)) < 1e-5);
}

TEST_CASE("sequence parallelism without a vocabulary-parallel embedding is right") {
  CHECK(error_at_2_and_4(with("tp+sp", replicated_embedding)) < 1e-5);
}

TEST_CASE("a replicated head is right") {
  CHECK(error_at_2_and_4(with("tp", "  - {match: 'output', style: replicate}\n")) < 1e-5);
}

TEST_CASE("replicated keys and values serve more ranks than there are kv heads") {
  const auto replicated_keys = "  - {match: 'layers\\.\\d+\\.attention\\.(wk|wv)', style: replicate}\n";
  CHECK(error_of(with("tp", replicated_keys), 8) < 1e-5);
  CHECK(error_of(with("tp+sp", replicated_keys), 8) < 1e-5);
}

TEST_CASE("replicated keys and values are right where a rank's heads straddle two groups") {
  const auto config =
      parse_model("six", "six.yaml", "{hidden: 48, layers: 1, heads: 6, kv_heads: 2, vocabulary: 20, ffn: 48}");
  const auto plan = with("tp", "  - {match: 'layers\\.\\d+\\.attention\\.(wk|wv)', style: replicate}\n");
  const auto tokens = make_tokens(5, 2, 7, config.vocabulary);
  const auto expected = unsharded_logits(config, tokens);
  for (const int world : {2, 3, 6}) {
    CHECK(largest_error(forward_on_ranks(config, plan, world, tokens), expected) < 1e-5);
  }
}

TEST_CASE("norms on the shards of an otherwise plain tp plan are costly and right") {
  CHECK(error_at_2_and_4(with("tp", "  - {match: '.*norm', style: sequence}\n")) < 1e-5);
}

TEST_CASE("an embedding sharded along the hidden dimension is right") {
  CHECK(error_at_2_and_4(with("tp", "  - {match: 'tok_embeddings', style: colwise}\n")) < 1e-5);
}

TEST_CASE("an embedding sharded along the hidden dimension and gathered is right") {
  CHECK(error_at_2_and_4(with("tp", "  - {match: 'tok_embeddings', style: colwise, out: replicate}\n")) < 1e-5);
}

TEST_CASE("a row-wise head is right") {
  CHECK(error_at_2_and_4(with("tp", "  - {match: 'output', style: rowwise}\n")) < 1e-5);
}

TEST_CASE("a row-wise head that stays partial is right") {
  CHECK(error_at_2_and_4(with("tp", "  - {match: 'output', style: rowwise, out: partial}\n")) < 1e-5);
}

TEST_CASE("attention's partial sum is reduced where it meets the residual stream") {
  const auto rule = "  - {match: 'layers\\.\\d+\\.attention\\.wo', style: rowwise, out: partial}\n";
  CHECK(error_at_2_and_4(with("tp", rule)) < 1e-5);
  CHECK(error_at_2_and_4(with("tp+sp", rule)) < 1e-5);
}

TEST_CASE("an embedding's partial sum may stay until the first norm") {
  const auto rule = "  - {match: 'tok_embeddings', style: rowwise, out: partial}\n";
  CHECK(error_at_2_and_4(with("tp", rule)) < 1e-5);
  CHECK(error_at_2_and_4(with("tp+sp", rule)) < 1e-5);
}

TEST_CASE("a gate and an input that are sharded differently meet in one placement") {
  const auto rule = [](const std::string& style) { return "  - {match: '.*\\.w1', " + style + "}\n"; };
  CHECK(error_at_2_and_4(with("tp", rule("style: replicate"))) < 1e-5);
  CHECK(error_at_2_and_4(with("tp", rule("style: rowwise, out: partial"))) < 1e-5);
  CHECK(error_at_2_and_4(with("tp", rule("style: sequence"))) < 1e-5);
}

TEST_CASE("an in= that does not arrive names the rule, the module and both placements") {
  const auto plan = with("tp", "  - {match: 'output', style: colwise, in: shard(seq)}\n");
  CHECK(forward_complaint(plan, 2) ==
        "mine.yaml:2:5: output: the rule says in=shard(seq), and replicate arrives; "
        "correct in=, or leave it out: the placement travels with the tensor");
}

TEST_CASE("an in= of a container is checked too") {
  const auto plan = with("tp", "  - {match: 'layers\\.1\\.attention', style: prepare_input, in: shard(seq)}\n");
  CHECK_THAT(forward_complaint(plan, 2), Contains("mine.yaml:2:5: layers.1.attention: the rule says in=shard(seq)"));
}

TEST_CASE("an in= of the embedding is checked too, for tokens are replicated") {
  const auto plan = with("tp", "  - {match: 'tok_embeddings', style: rowwise, in: shard(seq)}\n");
  CHECK_THAT(forward_complaint(plan, 2),
             Contains("tok_embeddings: the rule says in=shard(seq), and replicate arrives"));
}

TEST_CASE("an in= that arrives is accepted") {
  CHECK(error_at_2_and_4(with("tp+sp", "  - {match: '.*\\.wq', style: colwise, in: replicate}\n")) < 1e-5);
}

TEST_CASE("fused projections that compute from sequence shards are right") {
  const auto projections = "  - {match: '.*\\.(wq|wk|wv|w1|w3)', style: sequence}\n";
  CHECK(error_at_2_and_4(with("tp", projections)) < 1e-5);
  CHECK(error_at_2_and_4(with("tp+sp", projections)) < 1e-5);
}

TEST_CASE("key shards that split a head are refused") {
  const auto plan = with("tp", "  - {match: '.*\\.(wk|wv)', style: rowwise, out: shard(feature)}\n");
  CHECK_THAT(forward_complaint(plan, 8), Contains("layers.0.attention.wk: 4 heads do not divide over 8 ranks"));
}

TEST_CASE("a random plan is right or refused as bad input, never as an internal error") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 2, 5, config.vocabulary);
  const auto expected = unsharded_logits(config, tokens);
  constexpr int plans = 120;
  RandomPlans random(2024);
  int ran = 0;
  for (int i = 0; i < plans; ++i) {
    const auto plan = random.next();
    try {
      const auto error = largest_error(forward_on_ranks(config, plan, i % 2 == 0 ? 2 : 4, tokens), expected);
      INFO("plan " << i);
      CHECK(error < 1e-5);
      ++ran;
    } catch (const Error& refusal) {
      INFO("plan " << i << ": " << refusal.what());
      CHECK(refusal.code() == ExitCode::bad_input);
    }
  }
  CHECK(ran >= plans / 3);
}
