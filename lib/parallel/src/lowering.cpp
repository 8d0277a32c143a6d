#include "tpsp/parallel/lowering.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lint.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {

std::string_view to_string(ModuleKind kind) {
  switch (kind) {
    case ModuleKind::embedding: return "embedding";
    case ModuleKind::linear: return "linear";
    case ModuleKind::norm: return "norm";
    case ModuleKind::container: return "container";
  }
  return "?";
}

namespace {

[[noreturn]] void refuse(const Module& module, const Rule& rule, std::string what, std::string remedy = {}) {
  throw bad_input({.where = rule.where,
                   .what = fmt::format("{}: {}", module.name, what),
                   .why = fmt::format("rule '{}' {}", rule.pattern, to_string(rule.style)),
                   .remedy = std::move(remedy)});
}

bool fits(Style style, ModuleKind kind) {
  switch (style) {
    case Style::colwise:
    case Style::rowwise: return kind == ModuleKind::linear || kind == ModuleKind::embedding;
    case Style::sequence: return kind == ModuleKind::linear || kind == ModuleKind::norm;
    case Style::prepare_input: return kind == ModuleKind::container;
    case Style::replicate: return kind != ModuleKind::container;
  }
  return false;
}

// What a style asks of a module before the rule's own placements are applied.
ModulePlan default_module_plan(Style style, ModuleKind kind) {
  const auto full = Placement::replicate();
  ModulePlan module_plan{.style = style,
                         .required_input = {},
                         .input = full,
                         .computed = full,
                         .output = full,
                         .weight_dim = {},
                         .rule = {}};
  if (kind == ModuleKind::embedding || kind == ModuleKind::container) module_plan.input.reset();
  if (style == Style::colwise) {
    module_plan.weight_dim = kind == ModuleKind::embedding ? 1 : 0;
    module_plan.computed = module_plan.output = Placement::shard(feature_dim);
  } else if (style == Style::rowwise) {
    module_plan.weight_dim = kind == ModuleKind::embedding ? 0 : 1;
    if (kind == ModuleKind::linear) module_plan.input = Placement::shard(feature_dim);
    module_plan.computed = Placement::partial();
  } else if (style == Style::sequence) {
    module_plan.input = module_plan.computed = module_plan.output = Placement::shard(seq_dim);
  }
  return module_plan;
}

void apply_want(ModulePlan& module_plan, const Module& module, const Rule& rule) {
  if (!rule.want) return;
  if (module.kind == ModuleKind::container) {
    if (rule.want->is_partial()) refuse(module, rule, "an input can not be wanted partial");
    module_plan.input = rule.want;
  } else if (module_plan.input != rule.want) {
    refuse(module, rule, fmt::format("want={} is not what this style computes from", to_string(*rule.want)),
           module_plan.input ? fmt::format("leave it out, or write want={}", to_string(*module_plan.input))
                             : "leave it out: token ids are replicated");
  }
}

void apply_out(ModulePlan& module_plan, const Module& module, const Rule& rule) {
  if (!rule.out) return;
  if (module.kind == ModuleKind::container) {
    refuse(module, rule, "prepare_input has no out=", "give out= to its last child");
  }
  if (rule.out->is_partial() && !module_plan.computed.is_partial()) {
    refuse(module, rule, fmt::format("out=partial, and the result is {}", to_string(module_plan.computed)),
           "only rowwise leaves a partial sum");
  }
  module_plan.output = *rule.out;
}

void check_divides(const Module& module, const Rule& rule, int dim, int world) {
  const auto& sharded = module.dims.at(static_cast<std::size_t>(dim));
  if (sharded.may_be_padded || sharded.units % world == 0) return;
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 1; size <= std::min<std::int64_t>(sharded.units, 128); ++size) {
    if (sharded.units % size == 0) sizes.push_back(size);
  }
  refuse(
      module, rule, fmt::format("{} {} do not divide over {} ranks", sharded.units, sharded.unit, world),
      fmt::format("use a world size of {}, or replicate the module with the style replicate", fmt::join(sizes, ", ")));
}

ModulePlan place(const Module& module, const Rule* rule, int world) {
  if (rule == nullptr) return default_module_plan(Style::replicate, module.kind);
  if (!fits(rule->style, module.kind)) {
    refuse(module, *rule, fmt::format("the style does not fit a module that is a {}", to_string(module.kind)),
           "make the pattern narrower; the whole name has to match");
  }
  auto module_plan = default_module_plan(rule->style, module.kind);
  module_plan.rule = rule->where;
  module_plan.required_input = rule->in;
  apply_want(module_plan, module, *rule);
  apply_out(module_plan, module, *rule);
  if (module_plan.weight_dim) check_divides(module, *rule, *module_plan.weight_dim, world);
  return module_plan;
}

// A container without a rule brings its input to what all its readers want, so that it is gathered once.
void derive_container_wants(LoweredPlan& plan) {
  for (const auto& module : plan.modules) {
    auto& module_plan = plan.module_plans.at(module.name);
    if (module.kind != ModuleKind::container || module_plan.input || module.entries.empty()) continue;
    const auto first = plan.at(module.entries.front()).input;
    const bool common = std::all_of(module.entries.begin(), module.entries.end(),
                                    [&](const auto& entry) { return plan.at(entry).input == first; });
    if (common) module_plan.input = first;
  }
}

}  // namespace

const std::string& LoweredPlan::role_of(const std::string& module) const {
  const auto found =
      std::find_if(modules.begin(), modules.end(), [&](const Module& one) { return one.name == module; });
  return found == modules.end() ? module : found->role_or_name();
}

bool LoweredPlan::shards_sequence() const {
  return std::any_of(module_plans.begin(), module_plans.end(), [](const auto& entry) {
    const auto& module_plan = entry.second;
    return module_plan.output.is_shard(seq_dim) || (module_plan.input && module_plan.input->is_shard(seq_dim));
  });
}

bool LoweredPlan::fuses(const Module& container) const {
  if (container.kind != ModuleKind::container || container.entries.empty()) return false;
  const auto& first = at(container.entries.front());
  return std::all_of(container.entries.begin(), container.entries.end(), [&](const auto& entry) {
    const auto& module_plan = at(entry);
    return module_plan.input && module_plan.input == at(container.name).input &&
           module_plan.weight_dim == first.weight_dim && module_plan.computed == first.computed &&
           module_plan.output == module_plan.computed && !module_plan.output.is_partial();
  });
}

std::string LoweredPlan::signature() const {
  const auto word = [](const std::optional<Placement>& placement) { return placement ? to_string(*placement) : "-"; };
  std::string signature;
  for (const auto& [module, module_plan] : module_plans) {
    signature += fmt::format("{}:{}:{}:{}:{} ", module, to_string(module_plan.style), word(module_plan.required_input),
                             word(module_plan.input), to_string(module_plan.output));
  }
  return signature;
}

std::string LoweredPlan::weight_sharding() const {
  std::string signature;
  for (const auto& [module, module_plan] : module_plans) {
    signature += module_plan.weight_dim ? static_cast<char>('0' + *module_plan.weight_dim) : '-';
  }
  for (const auto& module : modules) {
    if (module.kind == ModuleKind::container) signature += fuses(module) ? 'f' : '-';
  }
  return signature;
}

LoweredPlan lower(const Plan& plan, const std::vector<Module>& modules, int world) {
  LoweredPlan lowered{
      .name = plan.name, .text = plan.text, .world = world, .modules = modules, .module_plans = {}, .findings = {}};
  const auto matches = match_rules(plan, modules);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Rule* rule = matches[i].empty() ? nullptr : &plan.rules[matches[i].back()];
    lowered.module_plans.emplace(modules[i].name, place(modules[i], rule, world));
  }
  derive_container_wants(lowered);
  lowered.findings = lint(plan, lowered, matches);
  return lowered;
}

void refuse_unused_rules(const LoweredPlan& plan, bool allow_unused_rules) {
  if (allow_unused_rules) return;
  std::vector<std::string> errors;
  for (const auto& finding : plan.findings) {
    if (finding.severity == Severity::error) errors.push_back(finding.text);
  }
  if (!errors.empty()) throw Error(ExitCode::bad_input, join(errors, "\n"));
}

}  // namespace tpsp
