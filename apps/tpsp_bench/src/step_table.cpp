#include <fmt/format.h>

#include "preview_text.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::string calls_text(const CommCounts& counts) {
  return fmt::format("{}/{}/{}", counts.all_reduces, counts.reduce_scatters, counts.all_gathers);
}

}  // namespace

std::string step_table(const StepPreviews& steps) {
  const auto& model = steps.model;
  auto text = fmt::format("{} · {} · {} · batch {} · {}\n", model.name(), counted(model.layers(), "layer"),
                          counted(steps.world, "rank"), steps.batch, steps.dtype);
  text += fmt::format("a training step up to its gradients · recompute {} · regather {}\n\n",
                      to_string(steps.policy.recompute), steps.policy.regather ? "on" : "off");
  constexpr const char* memory_format = "{:<20} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}\n";
  text += "bytes per rank: saved for the backward, and peak of all activations\n";
  text += fmt::format(memory_format, "plan", "seq", "weights", "gradients", "saved", "peak", "all");
  for (const auto& [plan, seq, step] : steps.rows) {
    text += fmt::format(memory_format, plan, seq, human_bytes(step.weights_bytes), human_bytes(step.gradient_bytes),
                        human_bytes(step.saved_bytes), human_bytes(step.peak_bytes),
                        human_bytes(step.weights_bytes + step.gradient_bytes + step.peak_bytes));
  }
  constexpr const char* calls_format = "{:<20} {:>7} {:>11} {:>9} {:>11} {:>9} {:>7}\n";
  text += "\nper rank: all-reduces/reduce-scatters/all-gathers, and bytes sent\n";
  text += fmt::format(calls_format, "plan", "seq", "forward", "sent", "backward", "sent", "at end");
  for (const auto& [plan, seq, step] : steps.rows) {
    text += fmt::format(calls_format, plan, seq, calls_text(step.forward), human_bytes(step.forward.bytes),
                        calls_text(step.backward), human_bytes(step.backward.bytes), calls_text(step.gradients));
  }
  return text;
}

}  // namespace tpsp
