#include "group_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "fill_row.h"
#include "tpsp/bench/check.h"
#include "tpsp/bench/machine_peaks.h"
#include "tpsp/bench/preview.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

WeightRecipe recipe_of(const Sweep& sweep) {
  return {.seed = sweep.seed, .dtype = sweep.dtype, .device = sweep.device, .kernel = sweep.kernels.as_function()};
}

at::Tensor tokens_of(const Sweep& sweep, std::uint64_t seed, std::int64_t seq) {
  return make_tokens(seed, sweep.batch, seq, sweep.model->vocabulary()).to(sweep.device);
}

}  // namespace

std::vector<std::string> names_of(const PlanGroup& plans) {
  std::vector<std::string> names;
  for (const auto* plan : plans) names.push_back(plan->name);
  return names;
}

std::string words_of(const PlanGroup& plans, std::int64_t seq) {
  return fmt::format("{} at seq {}", join(names_of(plans), " and "), seq);
}

GroupRun::GroupRun(const SweepContext& context, const PlanGroup& plans)
    : context_(context),
      counter_(context.comm.size()),
      recipe_(recipe_of(context.sweep)),
      weights_(*plans.front(), context.world.rank(), recipe_) {}

std::unique_ptr<Model> GroupRun::model(const LoweredPlan& plan) const {
  return context_.sweep.model->bind(plan, weights_);
}

// Before anything is measured, so that no forward takes memory for its collectives from the system.
void GroupRun::reserve(const PlanGroup& plans, std::int64_t seq) {
  const auto& sweep = context_.sweep;
  ArenaSizes arena;
  for (const auto* plan : plans) {
    arena = arena.max(sweep.previews->of(*plan, sweep.batch, seq).arena);
  }
  context_.comm.reserve(arena);
}

void GroupRun::report_step(const PlanGroup& plans, std::int64_t seq, std::string_view phase, int done) const {
  if (context_.follower.step) context_.follower.step({words_of(plans, seq), phase, done});
}

std::vector<Row> GroupRun::run(std::int64_t seq, const PlanGroup& plans) {
  const auto& sweep = context_.sweep;
  const auto tokens = tokens_of(sweep, sweep.seed, seq);
  std::vector<Row> rows;
  for (const auto* plan : plans) rows.push_back(blank_row(sweep, *plan, seq));

  reserve(plans, seq);
  context_.probe.release_unused();
  const auto measured = time(plans, tokens, [&](auto phase, int done) { report_step(plans, seq, phase, done); });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& row = rows[i];
    fill_order(row, sweep.protocol, names_of(plans));
    row.weights = sweep.weights == WeightPolicy::shared && plans.size() == 1 ? "own" : to_string(sweep.weights);
    fill_measurement(row, measured.results[i], context_.hosts);
    row.warnings.insert(row.warnings.end(), measured.disturbances.begin(), measured.disturbances.end());
    if (sweep.profile) {
      report_step(plans, seq, "profile");
      profile_plan(*plans[i], tokens, row);
    }
  }
  if (sweep.peaks) {
    report_step(plans, seq, "peaks");
    const ScopedTimer timer(context_.breakdown.machine_s);
    const auto fraction_after = measure_again(sweep, context_.world);
    look_at_peaks(rows, *sweep.peaks, fraction_after);
  }
  if (sweep.check) {
    report_step(plans, seq, "check");
    check(plans, seq, rows);
  }
  return rows;
}

Measured GroupRun::time(const PlanGroup& plans, const at::Tensor& tokens, const ProtocolListener& listener) {
  std::vector<std::unique_ptr<Model>> models;
  for (const auto* plan : plans) models.push_back(model(*plan));
  const Context context{.tp = context_.comm, .events = &counter_};
  const Input input{.tokens = tokens};
  std::vector<Workload> forwards;
  for (const auto& one : models) forwards.emplace_back([&one, &input, &context] { one->forward(input, context); });
  auto measured =
      measure_with_disturbances(forwards, context_.sweep.protocol, context_.world, counter_, context_.probe, listener);
  for (const auto& one : measured.results) context_.breakdown.forwards_s += one.forwards_s;
  return measured;
}

void GroupRun::profile_plan(const LoweredPlan& plan, const at::Tensor& tokens, Row& row) {
  ForwardProfile profiled;
  {
    const ScopedTimer timer(context_.breakdown.profile_s);
    const auto one = model(plan);
    const auto forward = [&](EventSink& events) {
      one->forward({.tokens = tokens}, {.tp = context_.comm, .events = &events});
    };
    profiled = profile(forward, plan.head().name, context_.world, context_.probe);
  }
  fill_profile(row, profiled, context_.world);
  if (context_.follower.trace == nullptr) return;
  context_.follower.trace->add(context_.world, fmt::format("{} {} {} seq {}", row.model, row.dtype, plan.name, row.seq),
                               profiled.intervals);
}

// On tokens of its own: what a buffer still holds from a timed forward would otherwise pass for this one's result.
void GroupRun::check(const PlanGroup& plans, std::int64_t seq, std::vector<Row>& rows) {
  const ScopedTimer timer(context_.breakdown.check_s);
  const auto tokens = tokens_of(context_.sweep, context_.sweep.seed + 1, seq);
  const auto& architecture = *context_.sweep.model;
  const Reference reference(architecture, recipe_, tokens, context_.world);
  const double bound = error_bound(architecture, seq, context_.world.size(), context_.sweep.dtype);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const Context forward_context{.tp = context_.comm};
    auto logits = model(*plans[i])->forward({.tokens = tokens}, forward_context);
    const auto full = gathered_logits(std::move(logits), seq, architecture.vocabulary(), forward_context);
    fill_check(rows[i], reference.error(full, context_.world), bound);
  }
}

}  // namespace tpsp
