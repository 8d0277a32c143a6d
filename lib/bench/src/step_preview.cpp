#include "tpsp/bench/step_preview.h"

#include <ATen/ATen.h>

#include <memory>
#include <optional>

#include "tpsp/comm/dry.h"
#include "tpsp/machine/memory.h"
#include "tpsp/weights/weights.h"

namespace tpsp {
namespace {

/// Counts the collectives and the arithmetic of GEMMs.
class StepCounter final : public EventSink {
 public:
  explicit StepCounter(int ranks) : counts_(ranks) {}

  EventId begin(const Event& event) override {
    if (event.phase == Phase::gemm) product_flops_ += event.flops;
    return counts_.begin(event);
  }
  void end() noexcept override {}

  double product_flops() const { return product_flops_; }
  /// The collectives since the last call.
  CommCounts take() { return counts_.take(); }

 private:
  EventCounter counts_;
  double product_flops_ = 0;
};

}  // namespace

StepPreview preview_step(const Architecture& architecture, const LoweredPlan& plan, std::int64_t batch,
                         std::int64_t seq, c10::ScalarType dtype, const StepSettings& step,
                         const PreviewSettings& settings) {
  AllocationMeter meter(c10::kMeta);
  DryProcessGroup dp(0, step.dp, settings.replicas_share_memory);
  EventCounter over_replicas(step.dp);
  const DataParallel replica{.group = dp, .stage = step.shard, .events = &over_replicas};
  const auto* const replicas = step.dp > 1 ? &replica : nullptr;
  const WeightRecipe recipe{.seed = 0, .dtype = dtype, .device = at::kMeta, .kernel = settings.kernel};
  const auto weights = make_trainable_weights(plan, 0, recipe, replicas);
  Gradients gradients(plan, dtype, at::kMeta, replicas);
  std::optional<AdamW> optimizer;
  if (step.adamw) optimizer.emplace(*weights);
  DryProcessGroup group(0, plan.world, settings.shares_memory);
  StepCounter counter(plan.world);
  const auto model = architecture.bind(plan, *weights);
  StepPreview result{.weights_bytes = weights->bytes(), .gradient_bytes = gradients.bytes()};
  if (optimizer) result.optimizer_bytes = optimizer->bytes();
  const auto resident = meter.current_bytes();
  const auto tokens = at::empty({replica_batch(batch, step.dp), seq}, at::TensorOptions(at::kLong).device(at::kMeta));
  const Input input{.tokens = tokens, .targets = at::empty_like(tokens)};
  const auto token_bytes = meter.current_bytes() - resident;
  meter.reset_peak();

  const auto count_part = [&](StepPart part) {
    if (part == StepPart::forward) result.forward += counter.take();
    if (part == StepPart::backward) result.backward += counter.take();
    if (part == StepPart::gradients) result.gradients += counter.take();
  };
  const Trainee trainee{.model = *model,
                        .weights = *weights,
                        .gradients = gradients,
                        .optimizer = optimizer ? &*optimizer : nullptr,
                        .replicas = replicas};
  const auto done =
      training_step(trainee, input, step, {.tp = group, .events = &counter, .meta = settings.meta}, count_part);
  result.saved_bytes = done.saved_bytes;
  result.logits_bytes = done.logits_bytes;
  result.peak = meter.peak();
  result.peak_bytes = result.peak.total() - resident - token_bytes;
  result.product_flops = counter.product_flops();
  result.arena = group.arena();
  result.replicas_arena = dp.arena();
  result.replicas = over_replicas.take();
  return result;
}

}  // namespace tpsp
