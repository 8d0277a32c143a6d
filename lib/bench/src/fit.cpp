#include "fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "tpsp/bench/check.h"
#include "tpsp/bench/preview.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

// Weights are made in fp32, whatever they become.
std::int64_t largest_weight_bytes(const ModelConfig& model) {
  return model.hidden * std::max(model.vocabulary, model.ffn) * static_cast<std::int64_t>(sizeof(float));
}

// Besides a forward's own peak: the reference with one weight at a time, its logits, whole logits and their difference.
std::int64_t check_bytes(const Sweep& sweep, std::int64_t seq, int world) {
  const auto share = reference_share(sweep.batch, world);
  const auto reference = preview(sweep.model, reference_plan(sweep.model), share, seq, sweep.dtype);
  const auto element = static_cast<std::int64_t>(c10::elementSize(sweep.dtype));
  const auto logits = (sweep.batch + 2 * share) * seq * sweep.model.vocabulary * element;
  return reference.peak_activation_bytes + largest_weight_bytes(sweep.model) + logits;
}

}  // namespace

std::int64_t resident_bytes(const Sweep& sweep, const LoweredPlan& plan) {
  const auto weights = preview(sweep.model, plan, 1, 1, sweep.dtype).weights_bytes;
  return weights + (sweep.dtype == c10::kFloat ? 0 : largest_weight_bytes(sweep.model));
}

std::int64_t working_bytes(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, int world) {
  const auto forward = preview(sweep.model, plan, sweep.batch, seq, sweep.dtype).peak_activation_bytes;
  return forward + (sweep.check ? check_bytes(sweep, seq, world) : 0);
}

std::optional<std::string> lack_of_memory(std::int64_t bytes, const DeviceProbe& probe, World& world) {
  const auto missing = max_over_ranks(world, {static_cast<double>(bytes - probe.available_bytes(world))}).front();
  if (missing <= 0) return std::nullopt;
  return fmt::format(
      "needs {} on each rank, {} more than is free; use fewer layers, a smaller batch or seq, or more ranks",
      human_bytes(bytes), human_bytes(static_cast<std::int64_t>(missing)));
}

}  // namespace tpsp
