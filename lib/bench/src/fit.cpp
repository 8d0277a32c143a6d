#include "fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "tpsp/bench/preview.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

// The reference holds no more than one weight at a time, and its part of the batch.
std::int64_t reference_bytes(const Sweep& sweep, std::int64_t seq, int world) {
  const auto whole = lower(Plan{.name = "reference", .source = "reference", .rules = {}}, modules_of(sweep.model), 1);
  const auto share = (sweep.batch + world - 1) / world;
  const auto activations = preview(sweep.model, whole, share, seq, sweep.dtype).peak_activation_bytes;
  const auto largest_weight = sweep.model.hidden * std::max(sweep.model.vocabulary, sweep.model.ffn);
  return activations + largest_weight * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace

std::int64_t working_bytes(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, int world) {
  const auto forward = preview(sweep.model, plan, sweep.batch, seq, sweep.dtype).peak_activation_bytes;
  return forward + (sweep.check ? reference_bytes(sweep, seq, world) : 0);
}

std::optional<std::string> lack_of_memory(std::int64_t bytes, const DeviceProbe& probe, World& world) {
  const auto missing = max_over_ranks(world, {static_cast<double>(bytes - probe.available_bytes(world))}).front();
  if (missing <= 0) return std::nullopt;
  return fmt::format("needs {} on each rank, {} more than is free; use fewer layers, a smaller batch or seq, or more ranks",
                     human_bytes(bytes), human_bytes(static_cast<std::int64_t>(missing)));
}

}  // namespace tpsp
