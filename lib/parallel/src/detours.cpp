#include "tpsp/parallel/detours.h"

#include <fmt/format.h>

#include <set>

#include "lint.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

bool avoidable(const TransitionRecord& made_whole, const TransitionRecord& cut) {
  return made_whole.from.is_partial() || made_whole.from == cut.to;
}

Finding detour(const TransitionRecord& made_whole, const TransitionRecord& cut, const LoweredPlan& plan) {
  const auto placement = plan.placements.find(made_whole.module);
  const std::string rule = placement == plan.placements.end() ? "" : placement->second.rule;
  const auto instead = transition(made_whole.from, cut.to);
  return {Severity::warning,
          Complaint{.where = rule.empty() ? plan.name : rule,
                    .what = fmt::format("{}: its {} of {} is avoidable", made_whole.module, to_string(made_whole.step),
                                        human_bytes(made_whole.whole_bytes)),
                    .why = fmt::format("{} then keeps only its slice, {}", cut.module, to_string(cut.to)),
                    .remedy = fmt::format("out={} costs {}", to_string(cut.to),
                                          instead == Transition::none ? "nothing" : to_string(instead))}
              .text()};
}

}  // namespace

std::vector<Finding> find_detours(const TransitionLog& log, const LoweredPlan& plan) {
  std::vector<Finding> findings;
  std::set<std::string> seen;
  for (const auto& cut : log) {
    if (cut.detour_of < 0) continue;
    const auto& made_whole = log.at(static_cast<std::size_t>(cut.detour_of));
    if (!avoidable(made_whole, cut) || !seen.insert(without_layer_number(made_whole.module)).second) continue;
    findings.push_back(detour(made_whole, cut, plan));
  }
  return findings;
}

}  // namespace tpsp
