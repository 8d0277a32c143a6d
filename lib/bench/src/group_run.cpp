#include "group_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "fill_row.h"
#include "tpsp/bench/check.h"
#include "tpsp/bench/machine_peaks.h"
#include "tpsp/bench/machine_watch.h"
#include "tpsp/bench/preview.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

WeightRecipe recipe_of(const Sweep& sweep) {
  return {.seed = sweep.seed, .dtype = sweep.dtype, .device = sweep.device, .kernel = sweep.kernels.as_function()};
}

at::Tensor tokens_of(const Sweep& sweep, std::uint64_t seed, std::int64_t seq) {
  return make_tokens(seed, sweep.batch, seq, sweep.model.vocabulary).to(sweep.device);
}

}  // namespace

std::vector<std::string> names_of(const PlanGroup& plans) {
  std::vector<std::string> names;
  for (const auto* plan : plans) names.push_back(plan->name);
  return names;
}

GroupRun::GroupRun(const SweepContext& context, const PlanGroup& plans)
    : context_(context),
      comm_(context.comm),
      recipe_(recipe_of(context.sweep)),
      weights_(*plans.front(), context.world.rank(), recipe_) {}

Llama GroupRun::model(const LoweredPlan& plan, Communicator& comm, Observer* observer) const {
  return {context_.sweep.model, plan, weights_, {.comm = comm, .observer = observer}};
}

// Before anything is measured, so that no forward takes memory for its collectives from the system.
void GroupRun::reserve(const PlanGroup& plans, std::int64_t seq) {
  const auto& sweep = context_.sweep;
  Room room;
  for (const auto* plan : plans) {
    room = room.max(preview(sweep.model, *plan, sweep.batch, seq, sweep.dtype, preview_of(sweep)).room);
  }
  context_.comm.reserve(room);
}

void GroupRun::tell(const PlanGroup& plans, std::int64_t seq, std::string_view phase, int done) const {
  if (context_.follower.step) context_.follower.step({join(names_of(plans), " and "), seq, phase, done});
}

std::vector<Row> GroupRun::run(std::int64_t seq, const PlanGroup& plans) {
  const auto& sweep = context_.sweep;
  const auto tokens = tokens_of(sweep, sweep.seed, seq);
  std::vector<Row> rows;
  for (const auto* plan : plans) rows.push_back(blank_row(sweep, *plan, seq));

  reserve(plans, seq);
  context_.probe.release_unused();
  MachineWatch machine;
  bool watching = false;
  const auto measured = time(plans, tokens, [&](std::string_view phase, int done) {
    tell(plans, seq, phase, done);
    const bool first = phase == "timing" && !watching;
    if (first) machine.begin();
    watching = watching || first;
  });
  const auto disturbances = machine.end(context_.world);
  const bool in_turns = plans.size() > 1 && sweep.protocol.order == Order::random;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& row = rows[i];
    row.order = in_turns ? "random" : "sequential";
    if (in_turns) row.turns = join(names_of(plans), ";");
    row.weights = sweep.weights == WeightPolicy::shared && plans.size() == 1 ? "own" : to_string(sweep.weights);
    fill_measurement(row, measured[i], context_.hosts);
    row.warnings.insert(row.warnings.end(), disturbances.begin(), disturbances.end());
    if (sweep.profile) {
      tell(plans, seq, "profile");
      watch(*plans[i], tokens, row);
    }
  }
  if (sweep.peaks) look_at_peaks(rows, *sweep.peaks);
  if (sweep.check) {
    tell(plans, seq, "check");
    check(plans, seq, rows);
  }
  return rows;
}

std::vector<Measurement> GroupRun::time(const PlanGroup& plans, const at::Tensor& tokens,
                                        const ProtocolListener& listener) {
  std::vector<Llama> models;
  for (const auto* plan : plans) models.push_back(model(*plan, comm_));
  std::vector<Workload> workloads;
  for (const auto& one : models) {
    workloads.push_back([&one, &tokens] { one.forward(tokens); });
  }
  auto measured = measure(workloads, context_.sweep.protocol, context_.world, comm_, context_.probe, listener);
  for (const auto& one : measured) context_.ledger.forwards_s += one.forwards_s;
  return measured;
}

void GroupRun::watch(const LoweredPlan& plan, const at::Tensor& tokens, Row& row) {
  ForwardProfile watched;
  {
    const Booking booking(context_.ledger.profile_s);
    watched = profile([&](Communicator& comm, Observer& observer) { model(plan, comm, &observer).forward(tokens); },
                      context_.world, context_.comm, context_.probe);
  }
  fill_profile(row, watched, context_.world);
  if (context_.follower.trace == nullptr) return;
  context_.follower.trace->add(context_.world, fmt::format("{} {} {} seq {}", row.model, row.dtype, plan.name, row.seq),
                               watched.stretches);
}

// On tokens of its own: what a buffer still holds from a timed forward would otherwise pass for this one's result.
void GroupRun::check(const PlanGroup& plans, std::int64_t seq, std::vector<Row>& rows) {
  const Booking booking(context_.ledger.check_s);
  const auto tokens = tokens_of(context_.sweep, context_.sweep.seed + 1, seq);
  const Reference reference(context_.sweep.model, recipe_, tokens, context_.world);
  const double bound = error_bound(context_.sweep.model, seq, context_.world.size(), context_.sweep.dtype);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const auto logits = model(*plans[i], comm_).logits(tokens);
    fill_check(rows[i], reference.error(logits, context_.world), bound);
  }
}

}  // namespace tpsp
