// The unsharded LLaMA that results are checked against, written out in plain ATen operations. Of the code that it
// checks it uses `make_weight` on unsharded weights and nothing else: no plans, collectives, packed weights or fused
// kernels.
#include "tpsp/models/llama.h"

#include <ATen/ATen.h>
#include <ATen/core/Reduction.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <functional>
#include <map>
#include <string>

namespace tpsp {
namespace {

/// cos and sin of position / theta^(2i/d), each `[seq, d / 2]`, fp32 (Su et al., arXiv:2104.09864).
struct RotaryAngles {
  at::Tensor cos;
  at::Tensor sin;
};

RotaryAngles rotary_angles(std::int64_t seq, const LlamaConfig& config, const at::TensorOptions& options) {
  const auto fp32 = options.dtype(at::kFloat);
  const auto dim = config.head_dim();
  const auto inverse_frequency = at::pow(config.rope_theta, at::arange(0, dim, 2, fp32) / dim).reciprocal();
  const auto angles = at::outer(at::arange(seq, fp32), inverse_frequency);
  return {.cos = angles.cos(), .sin = angles.sin()};
}

/// `[batch, seq, heads * d]` as `[batch, heads, seq, d]`.
at::Tensor split_heads(const at::Tensor& features, std::int64_t head_dim) {
  return features.unflatten(-1, {-1, head_dim}).transpose(1, 2);
}

/// Rotates the pairs (x_i, x_{i + d/2}) of `[batch, heads, seq, d]`.
at::Tensor rotated(const at::Tensor& heads, const RotaryAngles& angles) {
  const auto halves = heads.to(at::kFloat).chunk(2, -1);
  const auto first = halves[0] * angles.cos - halves[1] * angles.sin;
  const auto second = halves[1] * angles.cos + halves[0] * angles.sin;
  return at::cat({first, second}, -1).to(heads.scalar_type());
}

class ReferenceModel {
 public:
  using Weight = std::function<at::Tensor(const std::string& module)>;

  ReferenceModel(const LlamaConfig& config, Weight weight) : config_(config), weight_(std::move(weight)) {}

  at::Tensor logits(const at::Tensor& tokens) const {
    auto stream = at::embedding(weight_("tok_embeddings"), tokens);
    const auto angles = rotary_angles(tokens.size(1), config_, stream.options());
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      const auto layer = fmt::format("layers.{}.", i);
      stream = stream + attention(norm(stream, layer + "attention_norm"), layer + "attention.", angles);
      stream = stream + feed_forward(norm(stream, layer + "ffn_norm"), layer + "feed_forward.");
    }
    return linear(norm(stream, "norm"), "output");
  }

 private:
  at::Tensor linear(const at::Tensor& input, const std::string& module) const {
    return at::linear(input, weight_(module));
  }

  at::Tensor norm(const at::Tensor& input, const std::string& module) const {
    return at::rms_norm(input, {config_.hidden}, weight_(module), config_.norm_eps);
  }

  at::Tensor attention(const at::Tensor& input, const std::string& prefix, const RotaryAngles& angles) const {
    const auto heads = [&](const std::string& name) {
      return split_heads(linear(input, prefix + name), config_.head_dim());
    };
    const auto group = config_.heads / config_.kv_heads;
    const auto queries = rotated(heads("wq"), angles);
    const auto keys = rotated(heads("wk"), angles).repeat_interleave(group, 1);
    const auto values = heads("wv").repeat_interleave(group, 1);
    const auto mixed = at::scaled_dot_product_attention(queries, keys, values, /*attn_mask=*/{}, /*dropout_p=*/0.0,
                                                        /*is_causal=*/true);
    return linear(mixed.transpose(1, 2).flatten(2), prefix + "wo");
  }

  at::Tensor feed_forward(const at::Tensor& input, const std::string& prefix) const {
    auto gate = linear(input, prefix + "w1");
    at::silu_(gate).mul_(linear(input, prefix + "w3"));
    return linear(gate, prefix + "w2");
  }

  const LlamaConfig& config_;
  Weight weight_;
};

std::map<std::string, Module> modules_by_name(const LlamaConfig& config) {
  std::map<std::string, Module> modules;
  for (const auto& module : modules_of(config)) modules.emplace(module.name, module);
  return modules;
}

}  // namespace

at::Tensor Llama::reference_logits(const WeightRecipe& recipe, const at::Tensor& tokens) const {
  const auto modules = modules_by_name(config_);
  const auto made_now = [&](const std::string& name) { return make_weight(modules.at(name), {}, recipe); };
  return ReferenceModel(config_, made_now).logits(tokens);
}

ReferenceStep Llama::reference_step(const WeightRecipe& recipe, const Input& input, double scale) const {
  const c10::InferenceMode with_gradients(false);
  const c10::AutoGradMode recorded(true);
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, module] : modules_by_name(config_)) {
    if (!module.dims.empty()) weights[name] = make_weight(module, {}, recipe).requires_grad_();
  }
  const ReferenceModel model(config_, [&](const std::string& name) { return weights.at(name); });
  // Tensors that were made without gradients can not be saved for them.
  const auto logits = model.logits(input.tokens.clone()).flatten(0, 1).to(at::kFloat);
  const auto sum = at::cross_entropy_loss(logits, input.targets.clone().flatten(), {}, at::Reduction::Sum);
  const auto loss = sum * scale;
  loss.backward();
  ReferenceStep step{.loss = loss.item<double>(), .gradients = {}};
  for (const auto& [name, weight] : weights) step.gradients[name] = weight.grad();
  return step;
}

}  // namespace tpsp
