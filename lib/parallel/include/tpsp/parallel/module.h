// What a plan has to know of a model: its modules' names, kinds and weight shapes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tpsp {

enum class ModuleKind {
  embedding,  ///< weight [vocabulary, hidden]
  linear,     ///< weight [output features, input features], no bias
  norm,       ///< weight [hidden]
  container,  ///< no weight; its input may be prepared for its children
};
std::string_view to_string(ModuleKind kind);

/// One dimension of a weight, as a plan may shard it.
struct WeightDim {
  std::string unit;            ///< "heads", "kv heads", "ffn", "vocabulary", "hidden"
  std::int64_t size = 0;       ///< elements
  std::int64_t units = 0;      ///< what must divide by the world size; size is a multiple of it
  bool may_be_padded = false;  ///< the last rank's block may hang over the end
};

struct Module {
  std::string name;  ///< "layers.0.attention.wq"
  ModuleKind kind = ModuleKind::linear;
  std::vector<WeightDim> dims{};       ///< one for each dimension of the weight
  std::vector<std::string> entries{};  ///< of a container: the modules that read its input
  std::string role{};                  ///< "attention.wq": what the modules of all blocks share; empty outside blocks

  const std::string& role_or_name() const { return role.empty() ? name : role; }
};

}  // namespace tpsp
