#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "choices.h"
#include "commands.h"
#include "preview_text.h"
#include "tpsp/bench/largest_fit.h"
#include "tpsp/core/error.h"
#include "tpsp/core/log.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

void refuse_batch_with_fit(const Settings& settings) {
  const auto& batch = settings.at("batch");
  if (!settings.has("fit") || batch.where == "default") return;
  throw bad_input({.where = batch.where,
                   .what = "batch does not go together with --fit",
                   .why = "which looks for the batch",
                   .remedy = "leave one of them out"});
}

/// What is asked for.
struct Question {
  std::shared_ptr<const Architecture> model;
  std::vector<LoweredPlan> plans;
  std::vector<std::int64_t> seqs;
  int world = 1;
  std::int64_t batch = 0;
  c10::ScalarType dtype = c10::kFloat;
  std::string dtype_name;
  std::optional<StepSettings> step;  ///< of a training step
  bool json = false;
};

MemoryNeed need_of(const Question& asked, const LoweredPlan& plan, std::int64_t batch, std::int64_t seq) {
  if (!asked.step) {
    const auto forward = preview(*asked.model, plan, batch, seq, asked.dtype);
    return {.weights = forward.weights_bytes, .activations = forward.peak_activation_bytes};
  }
  const auto step = preview_step(*asked.model, plan, batch, seq, asked.dtype, *asked.step);
  return {.weights = step.weights_bytes,
          .gradients = step.gradient_bytes,
          .optimizer = step.optimizer_bytes,
          .activations = step.peak_bytes};
}

void print_fits(const Question& asked, std::int64_t limit) {
  Fits fits{*asked.model, asked.world, limit, asked.dtype_name, asked.step, {}};
  for (const auto& plan : asked.plans) {
    for (const auto seq : asked.seqs) {
      const auto parts = asked.step ? asked.step->micro_batches * asked.step->dp : 1;
      const auto most = std::max(parts, std::min(most_sequences, most_tokens / seq) / parts * parts);
      const auto all = [&](std::int64_t size) { return need_of(asked, plan, parts * size, seq).all(); };
      const auto batch = parts * largest_fit(limit, most / parts, all);
      const auto need = need_of(asked, plan, std::max(batch, parts), seq);
      fits.rows.push_back({plan.name, seq, batch, batch == most, need, plan.findings});
    }
  }
  fmt::print("{}", asked.json ? fit_json(fits) : fit_table(fits));
}

void print_steps(const Question& asked) {
  StepPreviews steps{*asked.model, asked.world, asked.batch, asked.dtype_name, *asked.step, {}};
  for (const auto& plan : asked.plans) {
    for (const auto seq : asked.seqs) {
      const auto step = preview_step(*asked.model, plan, asked.batch, seq, asked.dtype, *asked.step);
      steps.rows.push_back({plan.name, seq, step, plan.findings});
    }
  }
  fmt::print("{}", asked.json ? step_json(steps) : step_table(steps));
}

// Returns what to know about the plans.
std::vector<Finding> print_forwards(const Question& asked) {
  std::vector<PlanPreviews> all;
  std::vector<Finding> findings;
  for (const auto& plan : asked.plans) {
    all.push_back({*asked.model, plan, asked.batch, asked.dtype_name, asked.seqs, {}});
    auto& previews = all.back().previews;
    for (const auto seq : asked.seqs) previews.push_back(preview(*asked.model, plan, asked.batch, seq, asked.dtype));
    findings.insert(findings.end(), previews.front().findings.begin(), previews.front().findings.end());
  }
  if (asked.json) {
    fmt::print("{}", preview_json(all));
    return {};
  }
  for (const auto& previews : all) fmt::print("{}{}", &previews == &all.front() ? "" : "\n\n", preview_table(previews));
  return findings;
}

}  // namespace

void plan_command(const CommandLine& line) {
  const Settings settings(line);
  const auto log = make_logger(0, spdlog::level::warn);
  Question asked;
  asked.model = model_setting(settings);
  asked.step = step_setting(settings);
  asked.world = static_cast<int>(integer_setting(settings, "world", 1, most_ranks));
  asked.plans = plan_setting(settings, *asked.model, ranks_of_replica(settings, asked.world),
                             line.flags.contains("allow-unused-rules"), *log);
  asked.seqs = seq_setting(settings, *log);
  refuse_batch_with_fit(settings);
  asked.batch = batch_setting(settings, asked.seqs);
  asked.dtype = dtype_setting(settings);
  asked.dtype_name = settings.at("dtype").text;
  asked.json = line.flags.contains("json");
  if (asked.step && !settings.has("fit")) require_shares(settings, asked.batch, *asked.step);

  std::vector<Finding> findings;
  if (!settings.has("fit") && !asked.step) {
    findings = print_forwards(asked);
  } else {
    if (settings.has("fit")) {
      print_fits(asked, parse_bytes(settings.at("fit").text, settings.at("fit").where));
    } else {
      print_steps(asked);
    }
    for (const auto& plan : asked.plans) {
      if (!asked.json) findings.insert(findings.end(), plan.findings.begin(), plan.findings.end());
    }
  }
  for (const auto& finding : findings) log->warn("{}", finding.text);
}

}  // namespace tpsp
