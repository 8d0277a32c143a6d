#include <fmt/format.h>

#include <cstdio>

#include "choices.h"
#include "commands.h"
#include "preview_text.h"
#include "tpsp/core/error.h"
#include "tpsp/core/log.h"

namespace tpsp {
namespace {

SavedPolicy policy_setting(const Settings& settings) {
  SavedPolicy policy{.regather = choice_setting(settings, "regather", {"on", "off"}) == "on"};
  const auto word = choice_setting(settings, "recompute", {"none", "attention", "block"});
  if (word == "attention") policy.recompute = Recompute::attention;
  if (word == "block") policy.recompute = Recompute::block;
  return policy;
}

// Options of a step mean nothing for a forward.
void refuse_step_options(const Settings& settings) {
  for (const auto* name : {"recompute", "regather"}) {
    const auto& setting = settings.at(name);
    if (setting.where == "default") continue;
    throw bad_input({.where = setting.where,
                     .what = "a forward has no backward",
                     .remedy = "add --workload train, or leave it out"});
  }
}

}  // namespace

void plan_command(const CommandLine& line) {
  constexpr int largest_world = 65536;
  const Settings settings(line);
  const auto log = make_logger(0, spdlog::level::warn);
  const auto model = model_setting(settings);
  const auto world = static_cast<int>(integer_setting(settings, "world", 1, largest_world));
  const auto plans = plan_setting(settings, *model, world, line.flags.contains("allow-unused-rules"), *log);
  const auto seqs = seq_setting(settings, *log);
  const auto batch = batch_setting(settings, seqs);
  const auto dtype = dtype_setting(settings);
  const bool json = line.flags.contains("json");

  if (choice_setting(settings, "workload", {"forward", "train"}) == "train") {
    StepPreviews steps{*model, world, batch, settings.at("dtype").text, policy_setting(settings), {}};
    for (const auto& plan : plans) {
      for (const auto seq : seqs) {
        steps.rows.push_back({plan.name, seq, preview_step(*model, plan, batch, seq, dtype, steps.policy)});
      }
    }
    fmt::print("{}", json ? step_json(steps) : step_table(steps));
    for (const auto& plan : plans) {
      for (const auto& finding : plan.findings) log->warn("{}", finding.text);
    }
    return;
  }
  refuse_step_options(settings);
  std::vector<PlanPreviews> all;
  for (const auto& plan : plans) {
    all.push_back({*model, plan, batch, settings.at("dtype").text, seqs, {}});
    auto& previews = all.back();
    for (const auto seq : previews.seqs) {
      previews.previews.push_back(preview(*model, plan, previews.batch, seq, dtype));
    }
  }
  if (json) {
    fmt::print("{}", preview_json(all));
    return;
  }
  for (const auto& previews : all) {
    if (&previews != &all.front()) fmt::print("\n\n");
    fmt::print("{}", preview_table(previews));
    for (const auto& finding : previews.previews.front().findings) log->warn("{}", finding.text);
  }
}

}  // namespace tpsp
