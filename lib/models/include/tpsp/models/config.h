// The shapes of a LLaMA model, and the modules that a plan's rules match.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/parallel/module.h"

namespace tpsp {

/// As in Touvron et al., arXiv:2302.13971, with grouped-query attention (arXiv:2305.13245) where kv_heads < heads.
struct LlamaConfig {
  std::string name;
  std::int64_t hidden = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t ffn = 0;
  std::int64_t vocabulary = 0;
  double norm_eps = 1e-5;
  double rope_theta = 10000;

  std::int64_t head_dim() const { return hidden / heads; }
};

/// A model from YAML with the keys hidden, layers, heads, vocabulary; optional kv_heads (heads), norm_eps (1e-5),
/// rope_theta (10000); and the feed-forward size either as `ffn`, or derived as Foundation Model Stack does it:
/// `ffn_growth` (8/3) times hidden, rounded up to a multiple of `ffn_multiple_of` (256).
/// Throws bad_input with file, line and column for unknown keys, wrong types and sizes that do not fit together.
LlamaConfig parse_model(const std::string& name, const std::string& source, std::string_view text);

/// The model that `--model` names: built in, or a file.
LlamaConfig load_model(const std::string& name_or_path);

/// Every module in forward order: tok_embeddings, layers.N.{attention_norm, attention, attention.wq, ...}, norm,
/// output; containers before their children.
std::vector<Module> modules_of(const LlamaConfig& config);

}  // namespace tpsp
