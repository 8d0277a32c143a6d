#include "tpsp/model/export.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "safetensors.h"
#include "tpsp/core/error.h"
#include "tpsp/core/files.h"

namespace tpsp {
namespace {

std::string config_json(const ModelConfig& config, at::ScalarType dtype) {
  const nlohmann::ordered_json json{{"architectures", {"LlamaForCausalLM"}},
                                    {"model_type", "llama"},
                                    {"hidden_act", "silu"},
                                    {"hidden_size", config.hidden},
                                    {"intermediate_size", config.ffn},
                                    {"num_hidden_layers", config.layers},
                                    {"num_attention_heads", config.heads},
                                    {"num_key_value_heads", config.kv_heads},
                                    {"head_dim", config.head_dim()},
                                    {"vocab_size", config.vocabulary},
                                    {"max_position_embeddings", 1 << 20},
                                    {"rms_norm_eps", config.norm_eps},
                                    {"rope_theta", config.rope_theta},
                                    {"attention_bias", false},
                                    {"mlp_bias", false},
                                    {"tie_word_embeddings", false},
                                    {"torch_dtype", dtype == at::kBFloat16 ? "bfloat16" : "float32"}};
  return json.dump(2) + "\n";
}

}  // namespace

void make_export_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error) return;
  throw Error(ExitCode::output_failed, {.where = "--export " + folder.string(),
                                        .what = "the folder can not be made",
                                        .why = error.message(),
                                        .remedy = "choose another folder"});
}

std::string hugging_face_name(const std::string& module) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> parts{{
      {"attention.wq", "self_attn.q_proj"},
      {"attention.wk", "self_attn.k_proj"},
      {"attention.wv", "self_attn.v_proj"},
      {"attention.wo", "self_attn.o_proj"},
      {"feed_forward.w1", "mlp.gate_proj"},
      {"feed_forward.w3", "mlp.up_proj"},
      {"feed_forward.w2", "mlp.down_proj"},
      {"attention_norm", "input_layernorm"},
      {"ffn_norm", "post_attention_layernorm"},
  }};
  if (module == "tok_embeddings") return "model.embed_tokens.weight";
  if (module == "norm") return "model.norm.weight";
  if (module == "output") return "lm_head.weight";
  for (const auto& [ours, theirs] : parts) {
    if (module.ends_with(ours)) {
      return fmt::format("model.{}{}.weight", module.substr(0, module.size() - ours.size()), theirs);
    }
  }
  return module;
}

void export_model(const std::filesystem::path& folder, const ModelConfig& config, const WeightRecipe& recipe) {
  make_export_folder(folder);
  write_file(folder / "config.json", config_json(config, recipe.dtype));
  const WeightRecipe on_host{.seed = recipe.seed, .dtype = recipe.dtype, .device = at::kCPU};
  std::vector<SafeTensor> tensors;
  for (const auto& module : modules_of(config)) {
    if (module.kind == ModuleKind::container) continue;
    tensors.push_back({hugging_face_name(module.name), recipe.dtype, local_shape(module, {}),
                       [module, on_host] { return make_weight(module, {}, on_host); }});
  }
  write_safetensors(folder / "model.safetensors", tensors);
}

void export_io(const std::filesystem::path& folder, const at::Tensor& tokens, const at::Tensor& logits) {
  make_export_folder(folder);
  write_safetensors(
      folder / "io.safetensors",
      {{"tokens", at::kLong, tokens.sizes().vec(), [&] { return tokens.cpu().contiguous(); }},
       {"logits", at::kFloat, logits.sizes().vec(), [&] { return logits.to(at::kCPU, at::kFloat).contiguous(); }}});
}

}  // namespace tpsp
