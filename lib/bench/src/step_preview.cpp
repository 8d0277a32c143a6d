#include "tpsp/bench/step_preview.h"

#include <ATen/ATen.h>

#include <memory>
#include <optional>

#include "tpsp/comm/dry.h"
#include "tpsp/machine/memory.h"
#include "tpsp/weights/adamw.h"
#include "tpsp/weights/gradients.h"
#include "tpsp/weights/weights.h"

namespace tpsp {
namespace {

std::unique_ptr<TrainableWeights> make_weights(const LoweredPlan& plan, c10::ScalarType dtype,
                                               const DataParallel& replicas) {
  const WeightRecipe recipe{.seed = 0, .dtype = dtype, .device = at::kMeta};
  if (replicas.group.size() == 1) return std::make_unique<ResidentWeights>(plan, 0, recipe);
  return std::make_unique<FlatWeights>(plan, 0, recipe, replicas);
}

Gradients make_gradients(const LoweredPlan& plan, c10::ScalarType dtype, const DataParallel& replicas) {
  if (replicas.group.size() == 1) return {plan, 0, dtype, at::kMeta};
  return {plan, dtype, at::kMeta, replicas};
}

}  // namespace

StepPreview preview_step(const Architecture& architecture, const LoweredPlan& plan, std::int64_t batch,
                         std::int64_t seq, c10::ScalarType dtype, const StepSettings& settings) {
  AllocationMeter meter(c10::kMeta);
  DryProcessGroup replicas_group(0, settings.dp);
  EventCounter over_replicas(settings.dp);
  const DataParallel replicas{.group = replicas_group, .stage = settings.shard, .events = &over_replicas};
  const auto weights = make_weights(plan, dtype, replicas);
  auto gradients = make_gradients(plan, dtype, replicas);
  std::optional<AdamW> optimizer;
  if (settings.adamw) optimizer.emplace(*weights);
  DryProcessGroup group(0, plan.world);
  EventCounter counter(plan.world);
  const auto tokens =
      at::empty({replica_batch(batch, settings.dp), seq}, at::TensorOptions(at::kLong).device(at::kMeta));
  const Input input{.tokens = tokens, .targets = at::empty_like(tokens)};
  const auto model = architecture.bind(plan, *weights);
  StepPreview result{.weights_bytes = weights->bytes(), .gradient_bytes = gradients.bytes()};
  if (optimizer) result.optimizer_bytes = optimizer->bytes();
  meter.reset_peak();
  const auto before = meter.current_bytes();
  {
    Saved saved(settings.saved);
    const Context context{.tp = group, .events = &counter, .saved = &saved};
    model->loss(input, 1, context);
    result.forward = counter.take();
    result.saved_bytes = saved.bytes();
    result.logits_bytes = static_cast<std::int64_t>(saved.last().local.nbytes());
    model->backward(input, context, gradients);
    result.backward = counter.take();
  }
  gradients.finish_step({.tp = group, .events = &counter});
  result.gradients = counter.take();
  weights->finish_step();
  sum_over_replicas(0, at::kMeta, replicas);
  result.replicas = over_replicas.take();
  result.peak_bytes = meter.peak_bytes() - before;
  return result;
}

}  // namespace tpsp
