#include <fmt/format.h>

#include "preview_text.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

constexpr const char* memory_format = "{:<19} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}\n";

std::string words_of(const StepSettings& step) {
  auto words = fmt::format("training: recompute {}, regather {}, optimizer {}", to_string(step.saved.recompute),
                           step.saved.regather ? "on" : "off", step.adamw ? "adamw" : "none");
  if (step.micro_batches > 1) words += fmt::format(", {} micro-batches", step.micro_batches);
  if (step.dp > 1) words += fmt::format("\n{} replicas, sharded: {}", step.dp, to_string(step.shard));
  return words;
}

std::string calls_text(const CommCounts& counts) {
  return fmt::format("{}/{}/{}", counts.all_reduces, counts.reduce_scatters, counts.all_gathers);
}

// A name too long for its column has a line of its own.
std::string plan_cell(const std::string& plan) {
  constexpr std::size_t width = 19;
  return plan.size() <= width ? plan : plan + "\n" + std::string(width, ' ');
}

std::string batch_text(const Fits::Row& row) {
  if (row.batch == 0) return "none";
  return fmt::format("{}{}", row.batch, row.is_most ? "+" : "");
}

std::string or_dash(std::int64_t bytes) { return bytes == 0 ? "-" : human_bytes(bytes); }

std::string replicas_table(const StepPreviews& steps) {
  constexpr const char* format = "{:<19} {:>7} {:>12} {:>8} {:>15}\n";
  std::string text = "\nper rank, over the replicas; and the bytes of one unit's weights and gradients\n";
  text += fmt::format(format, "plan", "seq", "calls", "sent", "unit at peak");
  for (const auto& [plan, seq, step, findings] : steps.rows) {
    text += fmt::format(format, plan_cell(plan), seq, calls_text(step.replicas), human_bytes(step.replicas.bytes),
                        or_dash(step.peak[MemoryUse::unit]));
  }
  return text;
}

}  // namespace

std::string step_table(const StepPreviews& steps) {
  const auto& model = steps.model;
  auto text = fmt::format("{} · {} · {} · batch {} · {}\n", model.name(), counted(model.layers(), "layer"),
                          counted(steps.world, "rank"), steps.batch, steps.dtype);
  text += words_of(steps.settings) + "\n\nbytes per rank; saved for the backward, and peak of all activations\n";
  text += fmt::format(memory_format, "plan", "seq", "weights", "grads", "adamw", "saved", "peak", "all");
  for (const auto& [plan, seq, step, findings] : steps.rows) {
    const auto all = step.weights_bytes + step.gradient_bytes + step.optimizer_bytes + step.peak_bytes;
    text += fmt::format(memory_format, plan_cell(plan), seq, human_bytes(step.weights_bytes),
                        human_bytes(step.gradient_bytes), or_dash(step.optimizer_bytes), human_bytes(step.saved_bytes),
                        human_bytes(step.peak_bytes), human_bytes(all));
  }
  constexpr const char* calls_format = "{:<19} {:>7} {:>12} {:>8} {:>12} {:>8} {:>7}\n";
  text += "\nper rank; all-reduces/reduce-scatters/all-gathers, and bytes sent\n";
  text += fmt::format(calls_format, "plan", "seq", "forward", "sent", "backward", "sent", "at end");
  for (const auto& [plan, seq, step, findings] : steps.rows) {
    text += fmt::format(calls_format, plan_cell(plan), seq, calls_text(step.forward), human_bytes(step.forward.bytes),
                        calls_text(step.backward), human_bytes(step.backward.bytes), calls_text(step.gradients));
  }
  return steps.settings.dp > 1 ? text + replicas_table(steps) : text;
}

std::string fit_table(const Fits& fits) {
  const auto& model = fits.model;
  auto text = fmt::format("{} · {} · {} · {} · {} a rank\n", model.name(), counted(model.layers(), "layer"),
                          counted(fits.world, "rank"), fits.dtype, human_bytes(fits.limit));
  text +=
      (fits.step ? words_of(*fits.step) : "a forward") + "\n\nthe largest batch that fits, and its bytes per rank\n";
  text += fmt::format(memory_format, "plan", "seq", "batch", "weights", "grads", "adamw", "activ.", "all");
  bool any_none = false;
  bool any_most = false;
  for (const auto& row : fits.rows) {
    const auto& need = row.need;
    text += fmt::format(memory_format, plan_cell(row.plan), row.seq, batch_text(row), human_bytes(need.weights),
                        or_dash(need.gradients), or_dash(need.optimizer), human_bytes(need.activations),
                        human_bytes(need.all()));
    any_none = any_none || row.batch == 0;
    any_most = any_most || row.is_most;
  }
  if (any_none) text += "none: one sequence needs the bytes in its line\n";
  if (any_most) text += "+: tpsp-bench takes no larger batch; more would fit\n";
  return text;
}

}  // namespace tpsp
