#include "tpsp/models/llama.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tpsp/core/memory_use.h"
#include "tpsp/nn/attention.h"
#include "tpsp/nn/feed_forward.h"
#include "tpsp/nn/loss.h"

namespace tpsp {
namespace {

/// The modules of one block.
struct Block {
  explicit Block(std::int64_t layer) {
    const auto prefix = fmt::format("layers.{}.", layer);
    attention_norm = prefix + "attention_norm";
    attention.container = prefix + "attention";
    attention.queries = attention.container + ".wq";
    attention.keys = attention.container + ".wk";
    attention.values = attention.container + ".wv";
    attention.output = attention.container + ".wo";
    ffn_norm = prefix + "ffn_norm";
    feed_forward.container = prefix + "feed_forward";
    feed_forward.gate = feed_forward.container + ".w1";
    feed_forward.up = feed_forward.container + ".w3";
    feed_forward.down = feed_forward.container + ".w2";
  }

  std::string attention_norm;
  nn::AttentionModules attention;
  std::string ffn_norm;
  nn::FeedForwardModules feed_forward;
};

class LlamaModel final : public Model {
 public:
  LlamaModel(const LlamaConfig& config, const LoweredPlan& plan, const WeightSource& weights)
      : config_(config), plan_(plan), weights_(weights) {}

  Sharded forward(const Input& input, const Context& context) const override {
    const nn::Layers layers(plan_, weights_, context);
    return layers.logits(last_normed(layers, input), head);
  }

  double loss(const Input& input, double scale, const Context& context) const override {
    const nn::Layers layers(plan_, weights_, context);
    auto value = last_normed(layers, input);
    const MemoryScope memory(MemoryUse::logits);
    const auto computed = plan_.at(head).computed;
    const auto wanted = computed.is_partial() ? Placement::replicate() : computed;
    auto logits = layers.gemm(std::exchange(value, {}), head, wanted);
    logits = redistribute(std::move(logits), wanted, context, nn::loss_module, Use::write);
    auto loss = nn::cross_entropy(std::move(logits), input.targets, config_.vocabulary, scale, context);
    if (context.saved != nullptr) context.saved->push(std::move(loss.gradient));
    return loss.value;
  }

  void backward(const Input& input, const Context& context, Gradients& gradients) const override {
    const nn::Layers layers(plan_, weights_, context, &gradients);
    Sharded stream;  // the gradient of the residual stream
    auto gradient = head_backward(layers);
    auto delta = layers.add_norm_backward(stream, std::move(gradient), last_delta(config_.layers), last_norm, head,
                                          config_.norm_eps);
    const auto rotary = rotary_table(stream);
    for (auto i = config_.layers; i-- > 0;) {
      const Block block(i);
      gradient = block_backward(layers, block, *std::move(delta), stream, rotary);
      delta = layers.add_norm_backward(stream, std::move(gradient), last_delta(i), block.attention_norm,
                                       block.attention.container, config_.norm_eps);
    }
    layers.embedding_backward(std::move(stream), input.tokens, embedding);
    gradients.finish_backward();
  }

 private:
  static constexpr const char* embedding = "tok_embeddings";
  static constexpr const char* last_norm = "norm";
  static constexpr const char* head = "output";

  ops::RotaryTable rotary_table(const Sharded& stream) const {
    return ops::rotary_table(stream.global[0], config_.head_dim(), config_.rope_theta, stream.local.options());
  }

  nn::AttentionShape attention_shape() const {
    return {.heads = config_.heads, .kv_heads = config_.kv_heads, .head_dim = config_.head_dim()};
  }

  // Whose delta is added before layer `i`.
  static std::optional<std::string> last_delta(std::int64_t i) {
    if (i == 0) return std::nullopt;
    return Block(i - 1).feed_forward.down;
  }

  // What the head reads.
  Sharded last_normed(const nn::Layers& layers, const Input& input) const {
    auto stream = layers.embedding(input.tokens, embedding);
    const auto rotary = rotary_table(stream);
    std::optional<nn::Delta> delta;
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      const Block block(i);
      auto value =
          layers.add_norm(stream, std::move(delta), block.attention_norm, block.attention.container, config_.norm_eps);
      delta = body(layers, block, std::move(value), stream, rotary);
    }
    return layers.add_norm(stream, std::move(delta), last_norm, head, config_.norm_eps);
  }

  bool recomputes_blocks(const nn::Layers& layers) const {
    return layers.saves() && layers.context().saved->policy().recompute == Recompute::block;
  }
  static SavedPolicy within_block(const nn::Layers& layers) {
    return {.recompute = Recompute::none, .regather = layers.context().saved->policy().regather};
  }

  // From what a block's first norm gives to what its feed-forward reads.
  Sharded attend(const nn::Layers& layers, const Block& block, Sharded value, Sharded& stream,
                 const ops::RotaryTable& rotary) const {
    auto delta = nn::attention(layers, std::move(value), block.attention, attention_shape(), rotary);
    return layers.add_norm(stream, std::move(delta), block.ffn_norm, block.feed_forward.container, config_.norm_eps);
  }

  // A block after its first norm. Where it will be computed again, what it saves is dropped.
  nn::Delta body(const nn::Layers& layers, const Block& block, Sharded value, Sharded& stream,
                 const ops::RotaryTable& rotary) const {
    if (!recomputes_blocks(layers)) {
      return nn::feed_forward(layers, attend(layers, block, std::move(value), stream, rotary), block.feed_forward);
    }
    Saved dropped(within_block(layers), MemoryUse::activations);
    const auto inner = layers.saving_in(dropped);
    return nn::feed_forward(inner, attend(inner, block, std::move(value), stream, rotary), block.feed_forward);
  }

  // Its backward: from the gradients of the feed-forward's delta and of the stream to that of what the norm gave.
  Sharded body_backward(const nn::Layers& layers, const Block& block, Sharded delta, Sharded& stream,
                        const nn::InputAgain& normed, const ops::RotaryTable& rotary) const {
    const auto& reader = block.feed_forward.container;
    const auto ffn_input = [&] { return layers.normed_again(block.ffn_norm, reader, config_.norm_eps); };
    auto gradient = nn::feed_forward_backward(layers, delta, ffn_input, block.feed_forward);
    delta = *layers.add_norm_backward(stream, std::move(gradient), block.attention.output, block.ffn_norm, reader,
                                      config_.norm_eps);
    return nn::attention_backward(layers, delta, normed, block.attention, attention_shape(), rotary);
  }

  Sharded block_backward(const nn::Layers& layers, const Block& block, Sharded delta, Sharded& stream,
                         const ops::RotaryTable& rotary) const {
    const auto normed = [&] {
      return layers.normed_again(block.attention_norm, block.attention.container, config_.norm_eps);
    };
    if (!recomputes_blocks(layers)) {
      return body_backward(layers, block, std::move(delta), stream, normed, rotary);
    }
    Saved again(within_block(layers), MemoryUse::recomputed);
    const auto inner = layers.saving_in(again);
    const auto value = normed();
    auto input = layers.context().saved->last();
    nn::feed_forward_again(inner, attend(inner, block, value, input, rotary), block.feed_forward);
    input = {};
    return body_backward(
        inner, block, std::move(delta), stream, [&] { return value; }, rotary);
  }

  // The gradient of what the head reads.
  Sharded head_backward(const nn::Layers& layers) const {
    const auto of_logits = layers.redistribute_backward(layers.context().saved->pop(), nn::loss_module);
    layers.weight_backward(of_logits, layers.normed_again(last_norm, head, config_.norm_eps), head);
    return layers.input_backward(of_logits, head);
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

// Weights and their gradients; what automatic differentiation keeps of a block (both norms' inputs and results,
// queries, keys and values before and after rotation, attention's result, gate, up, their activation and product); and
// around the loss logits in the dtype, in fp32, their log-softmax and two gradients.
std::int64_t Llama::reference_step_bytes(std::int64_t batch, std::int64_t seq, at::ScalarType dtype) const {
  const auto element = static_cast<std::int64_t>(c10::elementSize(dtype));
  constexpr std::int64_t fp32 = sizeof(float);
  const auto of_block = (12 * config_.hidden + 4 * config_.ffn) * element;
  const auto of_logits = config_.vocabulary * (2 * element + 3 * fp32);
  return 2 * parameters() * element + batch * seq * (config_.layers * of_block + of_logits);
}

// While it rotates: queries and their two halves in fp32.
std::int64_t Llama::reference_extra_bytes(std::int64_t batch, std::int64_t seq) const {
  return 3 * batch * seq * config_.hidden * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace tpsp
