// How often and how much a forward pass communicates.

#include "support/expected_collectives.h"
#include "support/forward_on_ranks.h"

using namespace tpsp;

namespace {

constexpr std::int64_t batch = 2;
constexpr std::int64_t seq = 16;

CommCounts counts_of(const std::string& plan, int world, std::int64_t layers = 2) {
  auto config = load_model("llama-tiny");
  config.layers = layers;
  const auto tokens = make_tokens(5, batch, seq, config.vocabulary);
  return forward_on_ranks(config, load_plan(plan), world, tokens).front().counts;
}

/// (2L+1) * 2(t-1)/t * n*h*e for the layers, (t-1)/t * n*V*e for the logits, in fp32.
std::int64_t expected_bytes(std::int64_t world, std::int64_t layers) {
  const auto config = load_model("llama-tiny");
  const auto vocabulary = (config.vocabulary + world - 1) / world * world;
  const auto values = batch * seq * 4;
  return expected_reductions(layers) * 2 * (world - 1) * values * config.hidden / world +
         (world - 1) * values * vocabulary / world;
}

}  // namespace

TEST_CASE("tp all-reduces twice a layer and once after the embedding, and gathers the logits") {
  for (const std::int64_t layers : {1, 2, 5}) {
    const auto counts = counts_of("tp", 2, layers);
    CHECK(counts.all_reduces == expected_reductions(layers));
    CHECK(counts.all_gathers == expected_logit_gathers);
    CHECK(counts.reduce_scatters == 0);
  }
}

TEST_CASE("tp+sp has a reduce-scatter and an all-gather for each all-reduce of tp, and gathers the logits") {
  for (const std::int64_t layers : {1, 2, 5}) {
    const auto counts = counts_of("tp+sp", 2, layers);
    CHECK(counts.all_reduces == 0);
    CHECK(counts.all_gathers == expected_reductions(layers) + expected_logit_gathers);
    CHECK(counts.reduce_scatters == expected_reductions(layers));
  }
}

TEST_CASE("tp and tp+sp send the bytes of the formula") {
  for (const int world : {2, 4}) {
    CHECK(counts_of("tp", world).bytes == expected_bytes(world, 2));
    CHECK(counts_of("tp+sp", world).bytes == expected_bytes(world, 2));
  }
}

TEST_CASE("bf16 sends half the bytes of fp32") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, batch, seq, config.vocabulary);
  const auto counts = forward_on_ranks(config, load_plan("tp+sp"), 2, tokens, at::kBFloat16).front().counts;
  CHECK(counts.bytes == expected_bytes(2, 2) / 2);
}

TEST_CASE("one rank communicates nothing") {
  CHECK(counts_of("tp", 1) == CommCounts{});
  CHECK(counts_of("tp+sp", 1) == CommCounts{});
}

TEST_CASE("logits that stay on their ranks need no gather") {
  const auto config = load_model("llama-tiny");
  auto plan = load_plan("tp");
  plan.rules.back().out = Placement::shard(feature_dim);
  const auto tokens = make_tokens(5, batch, seq, config.vocabulary);
  CHECK(forward_on_ranks(config, plan, 2, tokens).front().counts.all_gathers == 0);
}

TEST_CASE("the events of a forward name each module that communicates, in order") {
  auto config = load_model("llama-tiny");
  config.layers = 1;
  const auto plan = lower(load_plan("tp+sp"), modules_of(config), 2);
  const ResidentWeights weights(plan, 0, {.device = at::kMeta});
  DryProcessGroup comm(0, 2);
  EventLog log;
  RankModel(config, plan, weights, comm, &log)
      .forward(at::empty({batch, seq}, at::TensorOptions(at::kLong).device(at::kMeta)));
  std::vector<std::string> steps;
  for (const auto& [module, event] : log.entries()) {
    if (event.transition != Transition::none) steps.push_back(module + " " + std::string(to_string(event.transition)));
  }
  CHECK(steps == std::vector<std::string>{"tok_embeddings reduce-scatter", "layers.0.attention all-gather",
                                          "layers.0.attention.wo reduce-scatter", "layers.0.feed_forward all-gather",
                                          "layers.0.feed_forward.w2 reduce-scatter", "output all-gather",
                                          "logits all-gather"});
}
