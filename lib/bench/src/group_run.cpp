#include "group_run.h"

#include <ATen/ATen.h>
#include <c10/util/ScopeExit.h>
#include <fmt/format.h>

#include "fill_row.h"
#include "out_of_memory.h"
#include "tpsp/bench/check.h"
#include "tpsp/bench/machine_peaks.h"
#include "tpsp/bench/training_check.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

WeightRecipe recipe_of(const Sweep& sweep) {
  return {.seed = sweep.seed, .dtype = sweep.dtype, .device = sweep.device, .kernel = sweep.kernels.as_function()};
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
      plan_(*plans.front()),
      counter_(context.groups.tp.size()),
      replicas_counter_(context.sweep.replicas()),
      recipe_(recipe_of(context.sweep)) {
  if (auto* const dp = context.groups.dp; dp != nullptr) {
    replicas_.emplace(DataParallel{.group = *dp, .stage = context.sweep.training->shard, .events = &replicas_events_});
  }
  make_weights();
}

// Those before are freed first.
void GroupRun::make_weights(const AdamWOptions& options) {
  const auto& training = context_.sweep.training;
  training_.reset();
  weights_.reset();
  weights_ = make_trainable_weights(plan_, context_.groups.tp.rank(), recipe_, replicas());
  if (!training) return;
  training_.emplace(Training{.gradients = Gradients(plan_, recipe_.dtype, recipe_.device, replicas())});
  if (training->adamw) training_->optimizer.emplace(*weights_, options);
}

std::unique_ptr<Model> GroupRun::model(const LoweredPlan& plan) const {
  return context_.sweep.model->bind(plan, *weights_);
}

Trainee GroupRun::trainee(const Model& model) {
  auto& [gradients, optimizer] = *training_;
  return {.model = model,
          .weights = *weights_,
          .gradients = gradients,
          .optimizer = optimizer ? &*optimizer : nullptr,
          .replicas = replicas()};
}

Input GroupRun::input(std::uint64_t seed, std::int64_t seq) const {
  const auto& sweep = context_.sweep;
  const auto text = [&](std::int64_t length) {
    return make_tokens(seed, sweep.batch, length, sweep.model->vocabulary()).to(sweep.device);
  };
  return sweep.training ? training_input(text(seq + 1)) : Input{.tokens = text(seq)};
}

// Before anything is measured, so that no repetition takes memory for its collectives from the system.
void GroupRun::reserve(const PlanGroup& plans, std::int64_t seq) {
  const auto& sweep = context_.sweep;
  ArenaSizes arena, replicas_arena;
  for (const auto* plan : plans) {
    const auto& previews = sweep.previews;
    if (sweep.training) {
      const auto& step = previews->of_step(*plan, sweep.batch, seq, *sweep.training);
      arena = arena.max(step.arena);
      replicas_arena = replicas_arena.max(step.replicas_arena);
    } else {
      arena = arena.max(previews->of(*plan, sweep.batch, seq).arena);
    }
  }
  context_.groups.tp.reserve(arena);
  if (replicas_) replicas_->group.reserve(replicas_arena);
}

void GroupRun::report_step(const PlanGroup& plans, std::int64_t seq, std::string_view phase, int done) const {
  if (context_.follower.step) context_.follower.step({words_of(plans, seq), phase, done});
}

std::vector<Row> GroupRun::run(std::int64_t seq, const PlanGroup& plans) {
  const auto& sweep = context_.sweep;
  const auto tokens = share_of(input(sweep.seed, seq), replicas());
  std::vector<Row> rows;
  std::vector<StepLog> logs;
  for (const auto* plan : plans) {
    rows.push_back(blank_row(sweep, *plan, seq));
    logs.emplace_back(context_.probe, counter_, replicas_counter_);
  }

  reserve(plans, seq);
  context_.probe.release_unused();
  const auto measured = time(plans, tokens, logs, [&](auto phase, int done) { report_step(plans, seq, phase, done); });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& row = rows[i];
    fill_order(row, sweep.protocol, names_of(plans));
    row.weights = sweep.weights == WeightPolicy::shared && plans.size() == 1 ? "own" : to_string(sweep.weights);
    fill_measurement(row, measured.results[i], context_.hosts);
    if (context_.probe.is_asynchronous()) fill_device_memory(row, memory_of(*plans[i], tokens));
    if (sweep.training) fill_steps(row, logs[i], context_.world);
    if (sweep.link) fill_prediction(row, logs[i].replicas(), *sweep.link);
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

StepResult GroupRun::step(const Model& model, const Input& input, EventSink* events, EventSink* over_replicas,
                          const StepListener& ended) {
  replicas_events_.point_at(over_replicas);
  const auto done = c10::make_scope_exit([&] { replicas_events_.point_at(nullptr); });
  return training_step(trainee(model), input, *context_.sweep.training, {.tp = context_.groups.tp, .events = events},
                       ended);
}

Measured GroupRun::time(const PlanGroup& plans, const Input& input, std::vector<StepLog>& logs,
                        const ProtocolListener& listener) {
  std::vector<std::unique_ptr<Model>> models;
  for (const auto* plan : plans) models.push_back(model(*plan));
  std::vector<Workload> workloads;
  for (std::size_t i = 0; i < models.size(); ++i) {
    if (context_.sweep.training) {
      workloads.emplace_back(
          [&, i] { logs[i].end(step(*models[i], input, &counter_, &replicas_counter_, logs[i].begin())); });
    } else {
      workloads.emplace_back([&, i] { models[i]->forward(input, {.tp = context_.groups.tp, .events = &counter_}); });
    }
  }
  for (auto& work : workloads) work = interruptible(std::move(work), context_.groups);
  auto measured =
      measure_with_disturbances(workloads, context_.sweep.protocol, context_.world, counter_, context_.probe, listener);
  for (const auto& one : measured.results) context_.breakdown.forwards_s += one.forwards_s;
  return measured;
}

DeviceMemory GroupRun::memory_of(const LoweredPlan& plan, const Input& input) {
  const auto one = model(plan);
  const auto work = [&] {
    if (context_.sweep.training) {
      step(*one, input, nullptr, nullptr);
    } else {
      one->forward(input, {.tp = context_.groups.tp});
    }
  };
  return device_memory_of(work, context_.probe, context_.world);
}

void GroupRun::profile_plan(const LoweredPlan& plan, const Input& input, Row& row) {
  ForwardProfile profiled;
  {
    const ScopedTimer timer(context_.breakdown.profile_s);
    const auto one = model(plan);
    const auto* const mesh = context_.groups.mesh;
    const auto repeat = [&](Timeline& timeline) {
      TimelineSink events(timeline, mesh != nullptr ? mesh->tp() : context_.world);
      if (!context_.sweep.training) {
        one->forward(input, {.tp = context_.groups.tp, .events = &events});
      } else if (mesh == nullptr) {
        step(*one, input, &events, nullptr);
      } else {
        TimelineSink over_replicas(timeline, mesh->dp());
        step(*one, input, &events, &over_replicas);
      }
    };
    profiled = profile(repeat, plan.head().name, context_.world, context_.probe);
  }
  fill_profile(row, profiled, context_.hosts, context_.world);
  if (context_.follower.trace == nullptr) return;
  context_.follower.trace->add(context_.world, fmt::format("{} {} {} seq {}", row.model, row.dtype, plan.name, row.seq),
                               profiled.intervals);
}

// On tokens of its own: what a buffer still holds from a timed forward would otherwise pass for this one's result.
void GroupRun::check(const PlanGroup& plans, std::int64_t seq, std::vector<Row>& rows) {
  const ScopedTimer timer(context_.breakdown.check_s);
  const auto tokens = input(context_.sweep.seed + 1, seq);
  if (context_.sweep.training) {
    check_steps(plans, tokens, rows);
  } else {
    check_forwards(plans, tokens, rows);
  }
}

void GroupRun::check_forwards(const PlanGroup& plans, const Input& input, std::vector<Row>& rows) {
  const auto& architecture = *context_.sweep.model;
  const auto seq = input.tokens.size(1);
  const Reference reference(architecture, recipe_, input.tokens, context_.world);
  const double bound = error_bound(architecture, seq, context_.world.size(), recipe_.dtype);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const Context forward_context{.tp = context_.groups.tp};
    auto logits = model(*plans[i])->forward(input, forward_context);
    const auto full = gathered_logits(std::move(logits), seq, architecture.vocabulary(), forward_context);
    fill_check(rows[i], reference.error(full, context_.world), bound);
  }
}

// From the initial weights, which an optimizer has changed by now.
void GroupRun::check_steps(const PlanGroup& plans, const Input& input, std::vector<Row>& rows) {
  const auto& architecture = *context_.sweep.model;
  const bool adamw = context_.sweep.training->adamw;
  const auto done = c10::make_scope_exit([&] {
    if (training_) training_->gradients.release();
  });
  if (adamw) training_->optimizer.reset();
  const auto share = share_of(input, replicas());
  const StepReference reference(architecture, recipe_, input, context_.world);
  const double bound = step_error_bound(architecture, input.tokens.size(1), context_.world.size(), recipe_.dtype);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (adamw) make_weights(reference.optimizer());
    training_->gradients.spoil();  // another plan's step would pass for what this one does not compute
    const auto one = model(*plans[i]);
    const auto loss = step(*one, share, nullptr, nullptr).loss;
    const auto error = reference.error({.loss = loss,
                                        .gradients = training_->gradients,
                                        .updated = adamw ? weights_.get() : nullptr,
                                        .plan = *plans[i],
                                        .rank = context_.groups.tp.rank()},
                                       context_.world);
    fill_check(rows[i], loss, error, bound);
  }
  if (adamw) make_weights();
}

}  // namespace tpsp
