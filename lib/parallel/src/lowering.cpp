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

// What a style asks of a module before the rule's own layouts are applied.
Placement default_placement(Style style, ModuleKind kind) {
  const auto whole = Layout::replicate();
  Placement placement{.style = style, .in = {}, .want = whole, .natural = whole, .out = whole, .cut = {}, .rule = {}};
  if (kind == ModuleKind::embedding || kind == ModuleKind::container) placement.want.reset();
  if (style == Style::colwise) {
    placement.cut = kind == ModuleKind::embedding ? 1 : 0;
    placement.natural = placement.out = Layout::shard(feature_dim);
  } else if (style == Style::rowwise) {
    placement.cut = kind == ModuleKind::embedding ? 0 : 1;
    if (kind == ModuleKind::linear) placement.want = Layout::shard(feature_dim);
    placement.natural = Layout::partial();
  } else if (style == Style::sequence) {
    placement.want = placement.natural = placement.out = Layout::shard(seq_dim);
  }
  return placement;
}

void apply_want(Placement& placement, const Module& module, const Rule& rule) {
  if (!rule.want) return;
  if (module.kind == ModuleKind::container) {
    if (rule.want->is_partial()) refuse(module, rule, "an input can not be wanted partial");
    placement.want = rule.want;
  } else if (placement.want != rule.want) {
    refuse(module, rule, fmt::format("want={} is not what this style computes from", to_string(*rule.want)),
           placement.want ? fmt::format("leave it out, or write want={}", to_string(*placement.want))
                          : "leave it out: token numbers are whole on every rank");
  }
}

void apply_out(Placement& placement, const Module& module, const Rule& rule) {
  if (!rule.out) return;
  if (module.kind == ModuleKind::container) {
    refuse(module, rule, "prepare_input has no out=", "give out= to its last child");
  }
  if (rule.out->is_partial() && !placement.natural.is_partial()) {
    refuse(module, rule, fmt::format("out=partial, and the product is {}", to_string(placement.natural)),
           "only rowwise leaves a partial sum");
  }
  placement.out = *rule.out;
}

void check_divides(const Module& module, const Rule& rule, int dim, int world) {
  const auto& cut = module.dims.at(static_cast<std::size_t>(dim));
  if (cut.may_be_padded || cut.units % world == 0) return;
  std::vector<std::int64_t> sizes;
  for (std::int64_t size = 1; size <= std::min<std::int64_t>(cut.units, 128); ++size) {
    if (cut.units % size == 0) sizes.push_back(size);
  }
  refuse(module, rule, fmt::format("{} {} do not divide over {} ranks", cut.units, cut.unit, world),
         fmt::format("use a world size of {}, or leave the module whole with the style replicate",
                     fmt::join(sizes, ", ")));
}

Placement place(const Module& module, const Rule* rule, int world) {
  if (rule == nullptr) return default_placement(Style::replicate, module.kind);
  if (!fits(rule->style, module.kind)) {
    refuse(module, *rule, fmt::format("the style does not fit a module that is a {}", to_string(module.kind)),
           "make the pattern narrower; the whole name has to match");
  }
  auto placement = default_placement(rule->style, module.kind);
  placement.rule = rule->where;
  placement.in = rule->in;
  apply_want(placement, module, *rule);
  apply_out(placement, module, *rule);
  if (placement.cut) check_divides(module, *rule, *placement.cut, world);
  return placement;
}

// A container without a rule brings its input to what all its readers want, so that it is gathered once.
void derive_container_wants(LoweredPlan& plan) {
  for (const auto& module : plan.modules) {
    auto& placement = plan.placements.at(module.name);
    if (module.kind != ModuleKind::container || placement.want || module.entries.empty()) continue;
    const auto first = plan.at(module.entries.front()).want;
    const bool common = std::all_of(module.entries.begin(), module.entries.end(),
                                    [&](const auto& entry) { return plan.at(entry).want == first; });
    if (common) placement.want = first;
  }
}

}  // namespace

bool LoweredPlan::shards_sequence() const {
  return std::any_of(placements.begin(), placements.end(), [](const auto& entry) {
    const auto& placement = entry.second;
    return placement.out.is_shard(seq_dim) || (placement.want && placement.want->is_shard(seq_dim));
  });
}

bool LoweredPlan::joins(const Module& container) const {
  if (container.kind != ModuleKind::container || container.entries.empty()) return false;
  const auto& first = at(container.entries.front());
  return std::all_of(container.entries.begin(), container.entries.end(), [&](const auto& entry) {
    const auto& placement = at(entry);
    return placement.want && placement.want == at(container.name).want && placement.cut == first.cut &&
           placement.natural == first.natural && placement.out == placement.natural && !placement.out.is_partial();
  });
}

std::string LoweredPlan::signature() const {
  const auto word = [](const std::optional<Layout>& layout) { return layout ? to_string(*layout) : "-"; };
  std::string signature;
  for (const auto& [module, placement] : placements) {
    signature += fmt::format("{}:{}:{}:{}:{} ", module, to_string(placement.style), word(placement.in),
                             word(placement.want), to_string(placement.out));
  }
  return signature;
}

std::string LoweredPlan::cut_signature() const {
  std::string signature;
  for (const auto& [module, placement] : placements) {
    signature += placement.cut ? static_cast<char>('0' + *placement.cut) : '-';
  }
  for (const auto& module : modules) {
    if (module.kind == ModuleKind::container) signature += joins(module) ? 'j' : '-';
  }
  return signature;
}

LoweredPlan lower(const Plan& plan, const std::vector<Module>& modules, int world) {
  LoweredPlan lowered{
      .name = plan.name, .text = plan.text, .world = world, .modules = modules, .placements = {}, .findings = {}};
  const auto matches = match_rules(plan, modules);
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const Rule* rule = matches[i].empty() ? nullptr : &plan.rules[matches[i].back()];
    lowered.placements.emplace(modules[i].name, place(modules[i], rule, world));
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
