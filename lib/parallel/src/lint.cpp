#include "lint.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <map>
#include <set>
#include <utility>

#include "rule_fields.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "tpsp/parallel/events.h"

namespace tpsp {
namespace {

// "layers.0.attention.wq (and 31 more)"
std::string first_of(const std::vector<std::string>& names) {
  if (names.size() == 1) return names.front();
  return fmt::format("{} (and {} more)", names.front(), names.size() - 1);
}

// A module's name as a regular expression for all blocks: 'layers\.\d+\.attention\.wo'.
std::string as_pattern(const std::string& name, const std::string& role) {
  std::string block = RE2::QuoteMeta(name.substr(0, name.size() - role.size()));
  RE2::GlobalReplace(&block, R"(\d+)", R"(\\d+)");
  return block + RE2::QuoteMeta(role);
}

void find_unused_rules(const Plan& plan, const LoweredPlan& lowered, const Matches& matches,
                       std::vector<Finding>& findings) {
  std::set<std::size_t> used;
  for (const auto& rules : matches) used.insert(rules.begin(), rules.end());
  std::vector<std::string> names;
  for (const auto& module : lowered.modules) names.push_back(module.name);
  for (std::size_t i = 0; i < plan.rules.size(); ++i) {
    if (used.contains(i)) continue;
    const auto& rule = plan.rules[i];
    std::string plain = rule.pattern;  // what the pattern looks like as a name
    RE2::GlobalReplace(&plain, R"(\\d[+*]?|\.?[+*])", "0");
    RE2::GlobalReplace(&plain, R"(\\)", "");
    const auto near = nearest(plain, names);
    const Complaint complaint{
        .where = rule.where,
        .what = fmt::format("rule '{}' matches no module", rule.pattern),
        .why = fmt::format("the whole name has to match, and names look like {}", near.value_or(names.back())),
        .remedy = near ? fmt::format("did you mean '{}'?", as_pattern(*near, lowered.role_of(*near)))
                       : "correct or remove the rule"};
    findings.push_back({Severity::error, complaint.text()});
  }
}

void find_untouched(const Plan& plan, const LoweredPlan& lowered, const Matches& matches,
                    std::vector<Finding>& findings) {
  std::map<std::string, std::vector<std::string>> untouched;  // by role_or_name
  for (std::size_t i = 0; i < lowered.modules.size(); ++i) {
    const auto& module = lowered.modules[i];
    if (!matches[i].empty() || module.kind == ModuleKind::container) continue;
    untouched[module.role_or_name()].push_back(module.name);
  }
  for (const auto& [kind, modules] : untouched) {
    const Complaint complaint{.where = plan.source,
                              .what = fmt::format("no rule touches {}", first_of(modules)),
                              .why = "its weight and its work are replicated on every rank",
                              .remedy = "say so with the style replicate, or give it another"};
    findings.push_back({Severity::warning, complaint.text()});
  }
}

void find_overlaps(const Plan& plan, const LoweredPlan& lowered, const Matches& matches,
                   std::vector<Finding>& findings) {
  std::map<std::pair<std::size_t, std::size_t>, std::vector<std::string>> overlaps;  // (loser, winner) -> modules
  for (std::size_t i = 0; i < matches.size(); ++i) {
    for (std::size_t k = 0; k + 1 < matches[i].size(); ++k) {
      overlaps[{matches[i][k], matches[i].back()}].push_back(lowered.modules[i].name);
    }
  }
  for (const auto& [rules, modules] : overlaps) {
    const auto& loser = plan.rules[rules.first];
    const auto& winner = plan.rules[rules.second];
    const Complaint complaint{
        .where = loser.where,
        .what = fmt::format("rule '{}' is overruled for {}", loser.pattern, first_of(modules)),
        .why = fmt::format("rule '{}' at {} matches too, and the last match wins", winner.pattern, winner.where)};
    findings.push_back({Severity::warning, complaint.text()});
  }
}

void find_repeated_gathers(const LoweredPlan& lowered, std::vector<Finding>& findings) {
  std::set<std::string> seen;
  for (const auto& module : lowered.modules) {
    const auto& module_plan = lowered.at(module.name);
    if (!module_plan.input || module_plan.rule.empty()) continue;
    std::int64_t gathers = 0;
    for (const auto& entry : module.entries) {
      const auto& reader = lowered.at(entry);
      if (!reader.input) continue;
      const auto moved = collective_of(transition(*module_plan.input, *reader.input));
      if (moved == Collective::all_gather) ++gathers;
    }
    if (gathers < 2 || !seen.insert(module.role_or_name()).second) continue;
    const Complaint complaint{.where = module_plan.rule,
                              .what = fmt::format("{}: its input is gathered {} times", module.name, gathers),
                              .why = fmt::format("it is brought to {}, and {} of its readers want it replicated",
                                                 to_string(*module_plan.input), gathers),
                              .remedy = "write want=replicate: one all-gather serves them all"};
    findings.push_back({Severity::warning, complaint.text()});
  }
}

}  // namespace

Matches match_rules(const Plan& plan, const std::vector<Module>& modules) {
  Matches matches(modules.size());
  for (std::size_t r = 0; r < plan.rules.size(); ++r) {
    const RE2 regex(plan.rules[r].pattern, pattern_options());
    for (std::size_t m = 0; m < modules.size(); ++m) {
      if (RE2::FullMatch(modules[m].name, regex)) matches[m].push_back(r);
    }
  }
  return matches;
}

std::vector<Finding> lint(const Plan& plan, const LoweredPlan& lowered, const Matches& matches) {
  std::vector<Finding> findings;
  find_unused_rules(plan, lowered, matches, findings);
  find_untouched(plan, lowered, matches, findings);
  find_overlaps(plan, lowered, matches, findings);
  find_repeated_gathers(lowered, findings);
  return findings;
}

}  // namespace tpsp
