#include "tpsp/parallel/detours.h"

#include <fmt/format.h>

#include <set>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

const EventLog::Entry& entry(const EventLog& log, EventId id) { return log.entries().at(static_cast<std::size_t>(id)); }

bool is_avoidable(const Event& gather, const Event& slice) {
  return gather.from.is_partial() || gather.from == slice.to;
}

Finding detour(const EventLog::Entry& gather, const EventLog::Entry& slice, const LoweredPlan& plan) {
  const auto module_plan = plan.module_plans.find(gather.module);
  const std::string rule = module_plan == plan.module_plans.end() ? "" : module_plan->second.rule;
  const auto instead = transition(gather.event.from, slice.event.to);
  return {Severity::warning,
          Complaint{.where = rule.empty() ? plan.name : rule,
                    .what = fmt::format("{}: its {} of {} is avoidable", gather.module,
                                        to_string(gather.event.transition), human_bytes(gather.event.bytes)),
                    .why = fmt::format("{} then keeps only its slice, {}", slice.module, to_string(slice.event.to)),
                    .remedy = fmt::format("out={} costs {}", to_string(slice.event.to),
                                          instead == Transition::none ? "nothing" : to_string(instead))}
              .text()};
}

}  // namespace

std::optional<EventId> gathered_for(const EventLog& log, EventId slice) {
  auto id = entry(log, slice).event.reads;
  while (id != no_event && entry(log, id).event.transition == Transition::none) id = entry(log, id).event.reads;
  if (id == no_event || !collective_of(entry(log, id).event.transition)) return std::nullopt;
  return id;
}

std::vector<Finding> find_detours(const EventLog& log, const LoweredPlan& plan) {
  std::vector<Finding> findings;
  std::set<std::string> seen;
  for (EventId id = 0; id < static_cast<EventId>(log.entries().size()); ++id) {
    const auto& slice = entry(log, id);
    if (slice.event.transition != Transition::slice) continue;
    const auto gathered = gathered_for(log, id);
    if (!gathered) continue;
    const auto& gather = entry(log, *gathered);
    if (!is_avoidable(gather.event, slice.event) || !seen.insert(plan.role_of(gather.module)).second) continue;
    findings.push_back(detour(gather, slice, plan));
  }
  return findings;
}

}  // namespace tpsp
