// LLaMA as Hugging Face's transformers calls it.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "tpsp/models/llama.h"

namespace tpsp {

std::string Llama::hugging_face_config(at::ScalarType dtype) const {
  const auto& config = config_;
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

std::string Llama::hugging_face_name(const std::string& module) const {
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

}  // namespace tpsp
