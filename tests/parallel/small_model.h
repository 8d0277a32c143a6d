// The modules of a small LLaMA, by hand: what `parallel` has to know of a model.
#pragma once

#include <string>
#include <vector>

#include "tpsp/parallel/module.h"
#include "tpsp/parallel/plan.h"

namespace tpsp {

/// Hidden 24, 6 heads of 4, 2 kv heads, ffn 40, vocabulary 101.
inline std::vector<Module> small_model(int layers = 2) {
  const WeightDim hidden{.unit = "hidden", .size = 24, .units = 24};
  const WeightDim heads{.unit = "heads", .size = 24, .units = 6};
  const WeightDim kv_heads{.unit = "kv heads", .size = 8, .units = 2};
  const WeightDim ffn{.unit = "ffn features", .size = 40, .units = 40};
  const WeightDim vocabulary{.unit = "vocabulary", .size = 101, .units = 101, .may_be_padded = true};

  std::vector<Module> modules{{"tok_embeddings", ModuleKind::embedding, {vocabulary, hidden}}};
  for (int i = 0; i < layers; ++i) {
    const auto layer = "layers." + std::to_string(i) + ".";
    const auto attention = layer + "attention";
    const auto feed_forward = layer + "feed_forward";
    modules.push_back({layer + "attention_norm", ModuleKind::norm, {hidden}});
    modules.push_back(
        {attention, ModuleKind::container, {}, {attention + ".wq", attention + ".wk", attention + ".wv"}});
    modules.push_back({attention + ".wq", ModuleKind::linear, {heads, hidden}});
    modules.push_back({attention + ".wk", ModuleKind::linear, {kv_heads, hidden}});
    modules.push_back({attention + ".wv", ModuleKind::linear, {kv_heads, hidden}});
    modules.push_back({attention + ".wo", ModuleKind::linear, {hidden, heads}});
    modules.push_back({layer + "ffn_norm", ModuleKind::norm, {hidden}});
    modules.push_back({feed_forward, ModuleKind::container, {}, {feed_forward + ".w1", feed_forward + ".w3"}});
    modules.push_back({feed_forward + ".w1", ModuleKind::linear, {ffn, hidden}});
    modules.push_back({feed_forward + ".w3", ModuleKind::linear, {ffn, hidden}});
    modules.push_back({feed_forward + ".w2", ModuleKind::linear, {hidden, ffn}});
    for (auto& module : modules) {
      if (module.name.starts_with(layer)) module.role = module.name.substr(layer.size());
    }
  }
  modules.push_back({"norm", ModuleKind::norm, {hidden}});
  modules.push_back({"output", ModuleKind::linear, {vocabulary, hidden}});
  return modules;
}

/// A plan of one-line rules, in a file called mine.rules.
inline Plan rules(const std::string& text) { return parse_plan("mine", "mine.rules", text); }

inline std::string text_of(const std::optional<Placement>& placement) {
  return placement ? to_string(*placement) : "-";
}

}  // namespace tpsp
