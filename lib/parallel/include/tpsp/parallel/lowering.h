// A plan applied to a model's modules at one world size: what each module does, and what is odd about the plan.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tpsp/parallel/module.h"
#include "tpsp/parallel/plan.h"

namespace tpsp {

/// What one module does. A value computed from `input` has the placement `computed` and is then brought to `output`.
struct ModulePlan {
  Style style = Style::replicate;
  std::optional<Placement> required_input;  ///< must arrive so, when given
  std::optional<Placement> input;  ///< nothing for an embedding, and for a container that leaves its input alone
  Placement computed = Placement::replicate();
  Placement output = Placement::replicate();
  std::optional<int> weight_dim;  ///< the weight's dimension that is sharded over the ranks
  std::string rule;               ///< "file:line:column", or empty when no rule touches the module
};

enum class Severity { error, warning };

/// Something a plan's author should know.
struct Finding {
  Severity severity = Severity::warning;
  std::string text;  ///< `<where>: <what> (<why>); <remedy>`
};

/// What redistributes the head's output, in events and messages.
inline constexpr const char* logits_module = "logits";

struct LoweredPlan {
  std::string name;
  std::string text{};  ///< the plan file as it was read
  int world = 1;
  std::vector<Module> modules;                     ///< in forward order, containers before their children
  std::map<std::string, ModulePlan> module_plans;  ///< by module name
  std::vector<Finding> findings;

  const ModulePlan& at(const std::string& module) const { return module_plans.at(module); }
  /// The module's role, or its name where it has none.
  const std::string& role_of(const std::string& module) const;
  /// The module that makes the logits: the last one.
  const Module& head() const { return modules.back(); }
  /// Whether some value is sharded along the sequence, so that its length is padded to a multiple of the world size.
  bool shards_sequence() const;
  /// Whether all modules that read the container's input compute from it as it arrives there, and shard their weights
  /// alike: they can be one GEMM, whatever the plan file calls them.
  bool fuses(const Module& container) const;
  /// Every module's style and placements; equal for plans that do the same.
  std::string signature() const;
  /// Equal for plans that shard the weights alike, which can share one set of them.
  std::string weight_sharding() const;
};

/// Matches the rules with the modules (the last match wins) and derives every module plan. Findings: a rule that
/// matches nothing (an error), modules with weights that no rule touches, modules matched by several rules, an input
/// gathered once for each reader instead of once. Throws bad_input, naming rule and module, for a style that does not
/// fit the module, a placement that the style can not take or give, and a dimension that does not divide by `world`.
LoweredPlan lower(const Plan& plan, const std::vector<Module>& modules, int world);

/// Throws the errors among the findings as one bad_input, or none when `allow_unused_rules`.
void refuse_unused_rules(const LoweredPlan& plan, bool allow_unused_rules);

}  // namespace tpsp
