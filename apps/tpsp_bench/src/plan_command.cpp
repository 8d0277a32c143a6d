#include <fmt/format.h>

#include <cstdio>

#include "choices.h"
#include "commands.h"
#include "preview_text.h"
#include "tpsp/core/log.h"

namespace tpsp {

void plan_command(const CommandLine& line) {
  constexpr int largest_world = 65536;
  const Settings settings(line);
  const auto log = make_logger(0, spdlog::level::warn);
  const auto model = model_setting(settings);
  const auto world = static_cast<int>(integer_setting(settings, "world", 1, largest_world));
  const auto plans = plan_setting(settings, *model, world, line.flags.contains("allow-unused-rules"), *log);
  const auto seqs = seq_setting(settings, *log);
  const auto batch = batch_setting(settings, seqs);

  std::vector<PlanPreviews> all;
  for (const auto& plan : plans) {
    all.push_back({*model, plan, batch, settings.at("dtype").text, seqs, {}});
    auto& previews = all.back();
    for (const auto seq : previews.seqs) {
      previews.previews.push_back(preview(*model, plan, previews.batch, seq, dtype_setting(settings)));
    }
  }
  if (line.flags.contains("json")) {
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
