#include <fmt/format.h>

#include "tpsp/models/config.h"

namespace tpsp {
namespace {

WeightDim dim(std::string unit, std::int64_t size) { return {.unit = std::move(unit), .size = size, .units = size}; }

Module linear(std::string name, WeightDim rows, WeightDim columns) {
  return {.name = std::move(name), .kind = ModuleKind::linear, .dims = {std::move(rows), std::move(columns)}};
}

Module norm(std::string name, const LlamaConfig& config) {
  return {.name = std::move(name), .kind = ModuleKind::norm, .dims = {dim("hidden", config.hidden)}};
}

Module container(std::string name, std::initializer_list<std::string_view> children) {
  Module module{.name = std::move(name), .kind = ModuleKind::container};
  for (const auto child : children) module.entries.push_back(fmt::format("{}.{}", module.name, child));
  return module;
}

void append_layer(std::vector<Module>& modules, const LlamaConfig& config, std::int64_t index) {
  const auto name = [&](std::string_view part) { return fmt::format("layers.{}.{}", index, part); };
  const auto hidden = dim("hidden", config.hidden);
  const auto ffn = dim("ffn features", config.ffn);
  const WeightDim heads{.unit = "heads", .size = config.hidden, .units = config.heads};
  const WeightDim kv_heads{.unit = "kv heads", .size = config.kv_heads * config.head_dim(), .units = config.kv_heads};

  const auto first = static_cast<std::ptrdiff_t>(modules.size());
  modules.push_back(norm(name("attention_norm"), config));
  modules.push_back(container(name("attention"), {"wq", "wk", "wv"}));
  modules.push_back(linear(name("attention.wq"), heads, hidden));
  modules.push_back(linear(name("attention.wk"), kv_heads, hidden));
  modules.push_back(linear(name("attention.wv"), kv_heads, hidden));
  modules.push_back(linear(name("attention.wo"), hidden, heads));
  modules.push_back(norm(name("ffn_norm"), config));
  modules.push_back(container(name("feed_forward"), {"w1", "w3"}));
  modules.push_back(linear(name("feed_forward.w1"), ffn, hidden));
  modules.push_back(linear(name("feed_forward.w3"), ffn, hidden));
  modules.push_back(linear(name("feed_forward.w2"), hidden, ffn));
  const auto block = name("").size();
  for (auto module = modules.begin() + first; module != modules.end(); ++module) {
    module->role = module->name.substr(block);
  }
}

}  // namespace

std::vector<Module> modules_of(const LlamaConfig& config) {
  const auto hidden = dim("hidden", config.hidden);
  auto vocabulary = dim("vocabulary", config.vocabulary);
  vocabulary.may_be_padded = true;

  std::vector<Module> modules;
  modules.push_back({.name = "tok_embeddings", .kind = ModuleKind::embedding, .dims = {vocabulary, hidden}});
  for (std::int64_t i = 0; i < config.layers; ++i) append_layer(modules, config, i);
  modules.push_back(norm("norm", config));
  modules.push_back(linear("output", vocabulary, hidden));
  return modules;
}

}  // namespace tpsp
