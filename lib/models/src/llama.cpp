#include "tpsp/models/llama.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tpsp/nn/attention.h"

namespace tpsp {
namespace {

class LlamaModel final : public Model {
 public:
  LlamaModel(const LlamaConfig& config, const LoweredPlan& plan, const WeightSource& weights)
      : config_(config), plan_(plan), weights_(weights) {}

  Sharded forward(const Input& input, const Context& context) const override {
    const nn::Layers layers(plan_, weights_, context);
    auto stream = layers.embedding(input.tokens, "tok_embeddings");
    const auto rotary =
        ops::rotary_table(stream.global[0], config_.head_dim(), config_.rope_theta, stream.local.options());
    std::optional<nn::Delta> delta;
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      const auto block = fmt::format("layers.{}.", i);
      const auto attention = block + "attention";
      const auto feed_forward = block + "feed_forward";
      auto value = layers.add_norm(stream, std::move(delta), block + "attention_norm", attention, config_.norm_eps);
      delta = nn::attention(layers, std::move(value), modules_of_attention(attention), attention_shape(), rotary);
      value = layers.add_norm(stream, std::move(delta), block + "ffn_norm", feed_forward, config_.norm_eps);
      delta = gated(layers, std::move(value), feed_forward);
    }
    auto value = layers.add_norm(stream, std::move(delta), "norm", "output", config_.norm_eps);
    return layers.logits(std::move(value), "output");
  }

 private:
  static nn::AttentionModules modules_of_attention(const std::string& container) {
    return {.container = container,
            .queries = container + ".wq",
            .keys = container + ".wk",
            .values = container + ".wv",
            .output = container + ".wo"};
  }

  nn::AttentionShape attention_shape() const {
    return {.heads = config_.heads, .kv_heads = config_.kv_heads, .head_dim = config_.head_dim()};
  }

  static nn::Delta gated(const nn::Layers& layers, Sharded input, const std::string& container) {
    const auto gate = container + ".w1";
    const auto up = container + ".w3";
    const auto down = container + ".w2";
    auto results = layers.gemms(std::move(input), container, {gate, up});
    auto value = layers.swiglu(std::move(results[0]), gate, std::move(results[1]), up);
    results.clear();
    return {.value = layers.gemm(layers.arrive(std::move(value), down), down), .module = down};
  }

  const LlamaConfig& config_;
  const LoweredPlan& plan_;
  const WeightSource& weights_;
};

}  // namespace

std::string Llama::shapes() const {
  return fmt::format("hidden {}, heads {}, kv_heads {}, ffn {}, vocabulary {}, norm_eps {}, rope_theta {}",
                     config_.hidden, config_.heads, config_.kv_heads, config_.ffn, config_.vocabulary, config_.norm_eps,
                     config_.rope_theta);
}

RoundingFacts Llama::rounding(std::int64_t seq) const {
  return {.sublayers = 2 * config_.layers + 1, .longest_sum = std::max({config_.hidden, config_.ffn, seq})};
}

std::unique_ptr<Model> Llama::bind(const LoweredPlan& plan, const WeightSource& weights) const {
  return std::make_unique<LlamaModel>(config_, plan, weights);
}

// While it rotates: queries and their two halves in fp32.
std::int64_t Llama::reference_extra_bytes(std::int64_t batch, std::int64_t seq) const {
  return 3 * batch * seq * config_.hidden * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace tpsp
