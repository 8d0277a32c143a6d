// The plans that come with the program, against one rank that holds everything.

#include "support/forward_on_ranks.h"
#include "support/process_groups.h"

using namespace tpsp;

namespace {

struct Shape {
  std::int64_t batch;
  std::int64_t seq;
};

/// The largest error of any rank under the plan, for each of a few shapes, at 1, 2 and 4 ranks.
void check_plan(const std::string& name, at::ScalarType dtype, double bound) {
  const auto config = load_model("llama-tiny");
  const auto plan = load_plan(name);
  for (const auto& [batch, seq] : {Shape{2, 16}, Shape{1, 1}, Shape{2, 7}, Shape{1, 3}}) {
    const auto tokens = make_tokens(5, batch, seq, config.vocabulary);
    const auto expected = unsharded_logits(config, tokens, dtype);
    for (const int world : {1, 2, 4}) {
      INFO(name << " batch " << batch << " seq " << seq << " world " << world);
      CHECK(largest_error(forward_on_ranks(config, plan, world, tokens, dtype), expected) < bound);
    }
  }
}

}  // namespace

TEST_CASE("tp gives the logits of one rank") { check_plan("tp", at::kFloat, 1e-5); }
TEST_CASE("tp+sp gives the logits of one rank") { check_plan("tp+sp", at::kFloat, 1e-5); }
TEST_CASE("tp.rules gives the logits of one rank") { check_plan("tp.rules", at::kFloat, 1e-5); }
TEST_CASE("tp+sp.rules gives the logits of one rank") { check_plan("tp+sp.rules", at::kFloat, 1e-5); }
TEST_CASE("tp gives the logits of one rank in bf16") { check_plan("tp", at::kBFloat16, 3e-2); }
TEST_CASE("tp+sp gives the logits of one rank in bf16") { check_plan("tp+sp", at::kBFloat16, 3e-2); }

TEST_CASE("all ranks hold the same logits to the bit") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 2, 7, config.vocabulary);
  for (const auto* name : {"tp", "tp+sp"}) {
    const auto results = forward_on_ranks(config, load_plan(name), 4, tokens);
    for (const auto& result : results) CHECK(at::equal(result.logits, results.front().logits));
  }
}

TEST_CASE("without space in shared memory every plan gives the same logits") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 2, 12, config.vocabulary);
  for (const auto* name : {"tp", "tp+sp", "tp-attention-sp-ffn", "attention-only", "tp-sharded-logits"}) {
    const auto plan = load_plan(name);
    const auto with = forward_on_ranks(config, plan, 4, tokens, at::kFloat, /*reserve=*/true);
    const auto without = forward_on_ranks(config, plan, 4, tokens, at::kFloat, /*reserve=*/false);
    INFO(name);
    CHECK(largest_error(with, without.front().logits) < 1e-5);
    CHECK(with.front().counts == without.front().counts);
  }
}

TEST_CASE("the arena that a preview asks for is enough: the logits lie in it on every rank") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 2, 12, config.vocabulary);
  for (const auto* name : {"tp", "tp+sp"}) {
    const auto plan = lower(load_plan(name), modules_of(config), 4);
    std::vector<int> shared(4);
    on_ranks(4, [&](World& ranks, ProcessGroup& comm) {
      reserve_for(comm, config, plan, tokens, at::kFloat);
      const ResidentWeights weights(plan, ranks.rank(), {.seed = test_seed});
      const RankModel model(config, plan, weights, comm);
      for (int i = 0; i < 3; ++i) {
        const auto logits = model.forward(tokens);
        shared[static_cast<std::size_t>(ranks.rank())] += comm.is_shared(logits.local) ? 1 : 0;
      }
    });
    INFO(name);
    CHECK(shared == std::vector<int>(4, 3));
  }
}

TEST_CASE("the fused add-norm gives what its parts give, within rounding") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 2, 12, config.vocabulary);
  const auto* const name = GENERATE("tp", "tp+sp");
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const int world = GENERATE(2, 4);
  const auto plan = lower(load_plan(name), modules_of(config), world);
  const auto fused = forward_on_ranks(config, load_plan(name), world, tokens, dtype);
  std::vector<RankResult> parts(static_cast<std::size_t>(world));
  on_ranks(world, [&](World& ranks, ProcessGroup& comm) {
    Apart apart(comm);
    const ResidentWeights weights(plan, ranks.rank(), {.seed = test_seed, .dtype = dtype});
    const RankModel model(config, plan, weights, apart);
    parts[static_cast<std::size_t>(ranks.rank())].logits = model.logits(tokens).to(at::kFloat).contiguous();
  });
  CAPTURE(name, dtype, world);
  CHECK(largest_error(parts, fused.front().logits) < (dtype == at::kFloat ? 1e-6 : 1e-2));
}

TEST_CASE("logits are finite and differ from token to token") {
  const auto config = load_model("llama-tiny");
  const auto logits = unsharded_logits(config, make_tokens(5, 2, 16, config.vocabulary));
  CHECK(logits.sizes() == at::IntArrayRef{2, 16, 515});
  CHECK(at::isfinite(logits).all().item<bool>());
  CHECK(logits.std(-1).min().item<double>() > 0.1);
}

TEST_CASE("changing the last token changes no earlier logits") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 2, 16, config.vocabulary);
  auto changed = tokens.clone();
  changed.select(1, 15).add_(1).remainder_(config.vocabulary);
  for (const auto* name : {"tp", "tp+sp"}) {
    const auto before = forward_on_ranks(config, load_plan(name), 4, tokens).front().logits;
    const auto after = forward_on_ranks(config, load_plan(name), 4, changed).front().logits;
    CHECK(relative_error(after.narrow(1, 0, 15), before.narrow(1, 0, 15)) < 1e-6);
    CHECK(relative_error(after.narrow(1, 15, 1), before.narrow(1, 15, 1)) > 0.1);
  }
}

TEST_CASE("a row of the batch has the logits it would have alone") {
  const auto config = load_model("llama-tiny");
  const auto tokens = make_tokens(5, 3, 9, config.vocabulary);
  const auto together = forward_on_ranks(config, load_plan("tp+sp"), 2, tokens).front().logits;
  const auto alone = unsharded_logits(config, tokens.narrow(0, 1, 1));
  CHECK(relative_error(together.narrow(0, 1, 1), alone) < 1e-5);
}
