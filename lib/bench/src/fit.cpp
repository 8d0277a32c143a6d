#include "fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "tpsp/bench/check.h"
#include "tpsp/bench/preview.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

// Weights are made in fp32 on the host, whatever they become and wherever they go.
std::int64_t largest_fp32_slice(const LoweredPlan& plan) {
  std::int64_t largest = 0;
  for (const auto& module : plan.modules) {
    if (module.kind == ModuleKind::container) continue;
    auto bytes = static_cast<std::int64_t>(sizeof(float));
    for (const auto size : local_shape(module, {.dim = plan.at(module.name).cut, .rank = 0, .ranks = plan.world})) {
      bytes *= size;
    }
    largest = std::max(largest, bytes);
  }
  return largest;
}

// The unsharded forward with one weight at a time, and what the reference holds beside it while it rotates: queries and
// their two halves in fp32.
std::int64_t reference_bytes(const Sweep& sweep, std::int64_t seq, int world) {
  const auto plan = reference_plan(sweep.model);
  const auto share = reference_share(sweep.batch, world);
  const auto rotated = 3 * share * seq * sweep.model.hidden * static_cast<std::int64_t>(sizeof(float));
  return preview(sweep.model, plan, share, seq, sweep.dtype).peak_activation_bytes + rotated + largest_fp32_slice(plan);
}

// The checked forward beside the reference's logits: while it runs, while its logits are made whole, and while they are
// subtracted.
std::int64_t compared_bytes(const Sweep& sweep, const Preview& forward, std::int64_t seq, int world) {
  const auto share = reference_share(sweep.batch, world) * seq * sweep.model.vocabulary *
                     static_cast<std::int64_t>(c10::elementSize(sweep.dtype));
  return share +
         std::max({forward.peak_activation_bytes, forward.whole_logits_peak_bytes, forward.whole_logits_bytes + share});
}

}  // namespace

std::int64_t resident_bytes(const Sweep& sweep, const LoweredPlan& plan) {
  std::int64_t largest = 0;  // of the weights as they are before they are packed, joined ones among them
  const auto note = [&](std::int64_t rows, std::int64_t columns) {
    largest = std::max(largest, rows * columns * static_cast<std::int64_t>(c10::elementSize(sweep.dtype)));
    return sweep.kernels.at(rows, columns);
  };
  const PreviewOf of{.shares_memory = sweep.shares_memory, .kernel = note};
  const auto weights = preview(sweep.model, plan, 1, 1, sweep.dtype, of).weights_bytes;
  if (!sweep.device.is_cpu()) return weights;
  const bool converted = sweep.dtype != c10::kFloat;
  return weights + largest + (converted ? largest_fp32_slice(plan) : 0);
}

std::int64_t working_bytes(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, int world) {
  const auto forward = preview(sweep.model, plan, sweep.batch, seq, sweep.dtype, preview_of(sweep));
  if (!sweep.check) return forward.peak_activation_bytes;
  return std::max(reference_bytes(sweep, seq, world), compared_bytes(sweep, forward, seq, world));
}

std::optional<std::string> lack_of_memory(std::int64_t bytes, const DeviceProbe& probe, World& world,
                                          std::string_view remedy) {
  const auto missing = max_over_ranks(world, {static_cast<double>(bytes - probe.available_bytes(world))}).front();
  if (missing <= 0) return std::nullopt;
  return fmt::format("needs {} on each rank, {} more than is free; {}", human_bytes(bytes),
                     human_bytes(static_cast<std::int64_t>(missing)), remedy);
}

}  // namespace tpsp
