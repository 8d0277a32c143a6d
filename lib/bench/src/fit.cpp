#include "fit.h"

#include <fmt/format.h>

#include <algorithm>

#include "tpsp/bench/check.h"
#include "tpsp/comm/dry.h"
#include "tpsp/core/text.h"

namespace tpsp {
namespace {

std::int64_t element_bytes(const Sweep& sweep) { return static_cast<std::int64_t>(c10::elementSize(sweep.dtype)); }

// On a CPU weights are made in fp32, whatever they become.
std::int64_t largest_fp32_slice(const Sweep& sweep, const LoweredPlan& plan) {
  std::int64_t largest = 0;
  if (!sweep.device.is_cpu()) return largest;
  for (const auto& module : plan.modules) {
    if (module.kind == ModuleKind::container) continue;
    auto bytes = static_cast<std::int64_t>(sizeof(float));
    for (const auto size :
         local_shape(module, {.dim = plan.at(module.name).weight_dim, .rank = 0, .ranks = plan.world})) {
      bytes *= size;
    }
    largest = std::max(largest, bytes);
  }
  return largest;
}

// The unsharded forward with one weight at a time, and what else the reference holds.
std::int64_t reference_bytes(const Sweep& sweep, std::int64_t seq, int world) {
  const auto plan = reference_plan(*sweep.model);
  const auto share = reference_share(sweep.batch, world);
  return sweep.previews->of(plan, share, seq).peak_activation_bytes + sweep.model->reference_extra_bytes(share, seq) +
         largest_fp32_slice(sweep, plan);
}

// A parameter before replicas cut it: whole, and of fused modules the last one by itself.
std::int64_t largest_uncut_bytes(const Sweep& sweep, const LoweredPlan& plan) {
  std::int64_t largest = 0;
  for (const auto& parameter : parameters_of(plan)) {
    const auto rows = parameter.is_fused() ? parameter.rows.back() : 0;
    largest = std::max(largest, parameter.numel() / parameter.shape.front() * (parameter.shape.front() + rows));
  }
  return largest * element_bytes(sweep);
}

// The largest unit that the check gathers from the replicas: its gradients, copied from memory that these share, and
// its updated weights.
std::int64_t gathered_bytes(const Sweep& sweep, const LoweredPlan& plan) {
  const auto& step = *sweep.training;
  if (step.dp == 1 || step.shard == ZeroStage::none) return 0;
  DryProcessGroup replicas(0, step.dp);
  std::int64_t largest = 0;
  for (const auto& unit : flat_units(plan, {.group = replicas, .stage = step.shard})) {
    largest = std::max(largest, unit.size);
  }
  const int of_gradients = sweep.previews->settings().replicas_share_memory ? 2 : 1;
  const int of_weights = step.adamw && step.shard == ZeroStage::parameters ? 1 : 0;
  return (of_gradients + of_weights) * largest * element_bytes(sweep);
}

// A checked step beside the reference's gradients, and the reference beside the rank's own.
std::int64_t step_bytes(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, int world) {
  const auto peak = sweep.previews->of_step(plan, sweep.batch, seq, *sweep.training).peak_bytes;
  if (!sweep.check) return peak;
  const auto share = reference_share(sweep.batch, world);
  const auto gradients = sweep.model->parameters() * element_bytes(sweep);
  return std::max(sweep.model->reference_step_bytes(share, seq, sweep.dtype),
                  gradients + std::max(peak, 2 * largest_fp32_slice(sweep, plan) + gathered_bytes(sweep, plan)));
}

// The checked forward beside the reference's logits: while it runs, while its logits are gathered, and while they are
// subtracted.
std::int64_t compared_bytes(const Sweep& sweep, const Preview& forward, std::int64_t seq, int world) {
  const auto share = reference_share(sweep.batch, world) * seq * sweep.model->vocabulary() * element_bytes(sweep);
  return share + std::max({forward.peak_activation_bytes, forward.gathered_logits_peak_bytes,
                           forward.gathered_logits_bytes + share});
}

}  // namespace

std::int64_t resident_bytes(const Sweep& sweep, const LoweredPlan& plan) {
  const auto weights = weight_forms(plan, sweep.dtype, sweep.kernels);
  auto bytes = weights.bytes;
  if (sweep.training) {
    const auto& step = sweep.previews->of_step(plan, sweep.batch, sweep.seqs.front(), *sweep.training);
    bytes = step.weights_bytes + step.gradient_bytes + step.optimizer_bytes;
  }
  const bool cut = sweep.replicas() > 1;
  if (cut) bytes += largest_uncut_bytes(sweep, plan);
  if (!sweep.device.is_cpu()) return bytes;
  const bool converted = sweep.dtype != c10::kFloat;
  return bytes + (cut ? 0 : weights.largest_bytes) + (converted ? largest_fp32_slice(sweep, plan) : 0);
}

std::int64_t working_bytes(const Sweep& sweep, const LoweredPlan& plan, std::int64_t seq, int world) {
  if (sweep.training) return step_bytes(sweep, plan, seq, world);
  const auto& forward = sweep.previews->of(plan, sweep.batch, seq);
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
