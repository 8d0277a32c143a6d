// The arithmetic that a preview counts, against sums made by hand of llama-tiny's shapes.
#include "support/torch_and_catch.h"
// The line above comes first.
#include "tpsp/bench/preview.h"
#include "tpsp/models/llama.h"

using namespace tpsp;

namespace {

constexpr std::int64_t batch = 2;
constexpr std::int64_t seq = 16;
constexpr double tokens = batch * seq;
constexpr double hidden = 96;
constexpr double ffn = 256;
constexpr double kv_features = 48;  // of 4 heads; the queries have 8
constexpr double vocabulary = 515;
constexpr double layers = 2;

constexpr double wq = hidden * hidden;
constexpr double layer_weights = 2 * wq + 2 * hidden * kv_features + 3 * hidden * ffn;
// Scores and values, 2 S^2 each for a feature, of the half that the mask leaves.
constexpr double full_attention = 2 * batch * seq * seq * hidden * layers;

double padded_vocabulary(int world) { return std::ceil(vocabulary / world) * world; }
double head(double columns) { return 2 * tokens * hidden * columns; }

Rule rule(const std::string& pattern, Style style, std::optional<Placement> out = {}) {
  return {.pattern = pattern, .style = style, .in = {}, .want = {}, .out = out, .where = {}};
}

Preview preview_of(const std::string& name, int world, const std::vector<Rule>& more = {}) {
  auto plan = load_plan(name);
  plan.rules.insert(plan.rules.end(), more.begin(), more.end());
  const auto config = load_model("llama-tiny");
  return preview(Llama(config), lower(plan, modules_of(config), world), batch, seq, at::kFloat);
}

}  // namespace

TEST_CASE("GEMMs and attention are divided over the ranks under tp and tp+sp") {
  for (const int world : {1, 2, 4}) {
    for (const auto* plan : {"tp", "tp+sp", "tp-sharded-logits"}) {
      CAPTURE(plan, world);
      const auto result = preview_of(plan, world);
      CHECK(result.product_flops ==
            Approx((2 * tokens * layers * layer_weights + head(padded_vocabulary(world))) / world));
      CHECK(result.attention_flops == Approx(full_attention / world));
    }
  }
}

TEST_CASE("what a plan replicates is computed in full by every rank") {
  for (const int world : {1, 2, 4}) {
    CAPTURE(world);
    const auto feed_forward = 3 * hidden * ffn;
    const auto ffn_only = preview_of("ffn-only", world);
    const auto divided_weights = layer_weights - feed_forward + feed_forward / world;
    CHECK(ffn_only.product_flops == Approx(2 * tokens * layers * divided_weights + head(vocabulary)));
    CHECK(ffn_only.attention_flops == Approx(full_attention));
  }
}

TEST_CASE("a linear on sharded tokens multiplies with its rank's tokens alone") {
  for (const int world : {1, 2, 4}) {
    CAPTURE(world);
    const auto result = preview_of("tp+sp", world, {rule("output", Style::sequence)});
    CHECK(result.product_flops == Approx((2 * tokens * layers * layer_weights + head(vocabulary)) / world));
  }
}

TEST_CASE("attention on replicated heads is computed in full, however wq is sharded") {
  for (const int world : {1, 2, 4}) {
    CAPTURE(world);
    const auto gather = rule(R"(layers\.\d+\.attention\.(wq|wk|wv))", Style::colwise, Placement::replicate());
    const auto result = preview_of("tp", world, {gather});
    CHECK(result.attention_flops == Approx(full_attention));
    CHECK(result.product_flops == preview_of("tp", world).product_flops);
  }
}
