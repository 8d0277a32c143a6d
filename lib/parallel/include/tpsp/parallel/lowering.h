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

/// What one module does. A product computed from `want` has the layout `natural` and is then brought to `out`.
struct Placement {
  Style style = Style::replicate;
  std::optional<Layout> in;    ///< must arrive so, when given
  std::optional<Layout> want;  ///< nothing for an embedding, and for a container that leaves its input alone
  Layout natural = Layout::replicate();
  Layout out = Layout::replicate();
  std::optional<int> cut;  ///< the weight's dimension that is cut over the ranks
  std::string rule;        ///< "file:line:column", or empty when no rule touches the module
};

enum class Severity { error, warning };

/// Something a plan's author should know.
struct Finding {
  Severity severity = Severity::warning;
  std::string text;  ///< `<where>: <what> (<why>); <remedy>`
};

struct LoweredPlan {
  std::string name;
  std::string text{};  ///< the plan file as it was read
  int world = 1;
  std::vector<Module> modules;                  ///< in forward order, containers before their children
  std::map<std::string, Placement> placements;  ///< by module name
  std::vector<Finding> findings;

  const Placement& at(const std::string& module) const { return placements.at(module); }
  /// Whether some value is cut along the sequence, so that its length is padded to a multiple of the world size.
  bool shards_sequence() const;
  /// Whether all modules that read the container's input compute from it as it arrives there, and cut their weights
  /// alike: they can be one product, whatever the plan file calls them.
  bool joins(const Module& container) const;
  /// Every module's style and layouts; equal for plans that do the same.
  std::string signature() const;
  /// Equal for plans that cut the weights alike, which can share one set of them.
  std::string cut_signature() const;
};

/// Matches the rules with the modules (the last match wins) and derives every placement. Findings: a rule that matches
/// nothing (an error), modules with weights that no rule touches, modules matched by several rules, an input gathered
/// once for each reader instead of once. Throws bad_input, naming rule and module, for a style that does not fit the
/// module, a layout that the style can not take or give, and a dimension that does not divide by `world`.
LoweredPlan lower(const Plan& plan, const std::vector<Module>& modules, int world);

/// Throws the errors among the findings as one bad_input, or none when `allow_unused_rules`.
void refuse_unused_rules(const LoweredPlan& plan, bool allow_unused_rules);

}  // namespace tpsp
