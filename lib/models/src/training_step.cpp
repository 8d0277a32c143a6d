#include "tpsp/models/training_step.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

/// A part, as an event around those of its modules, and a call when it has ended.
class PartScope {
 public:
  PartScope(StepPart part, const Context& context, const StepListener& ended)
      : part_(part), ended_(ended), scope_(context.events, {.module = to_string(part)}) {}
  void end() const {
    if (ended_) ended_(part_);
  }

 private:
  StepPart part_;
  const StepListener& ended_;
  EventScope scope_;
};

}  // namespace

std::string to_string(const StepSettings& settings) {
  return fmt::format("recompute {}, regather {}, optimizer {}, micro-batches {}, dp {}, shard {}",
                     to_string(settings.saved.recompute), settings.saved.regather ? "on" : "off",
                     settings.adamw ? "adamw" : "none", settings.micro_batches, settings.dp, to_string(settings.shard));
}

std::string_view to_string(StepPart part) {
  switch (part) {
    case StepPart::forward: return "forward";
    case StepPart::backward: return "backward";
    case StepPart::gradients: return "gradients";
    case StepPart::optimizer: return "optimizer";
  }
  return "unknown";
}

Input training_input(const at::Tensor& text) {
  const auto seq = text.size(1) - 1;
  const auto copy = [](const at::Tensor& part) { return part.clone(at::MemoryFormat::Contiguous); };
  return {.tokens = copy(text.narrow(1, 0, seq)), .targets = copy(text.narrow(1, 1, seq))};
}

Input share_of(const Input& batch, const DataParallel* replicas) {
  if (replicas == nullptr) return batch;
  return {.tokens = replica_sequences(batch.tokens, replicas->group).clone(),
          .targets = replica_sequences(batch.targets, replicas->group).clone()};
}

StepResult training_step(const Trainee& trainee, const Input& batch, const StepSettings& settings,
                         const Context& context, const StepListener& ended) {
  const auto& [model, weights, gradients, optimizer, replicas] = trainee;
  const auto sequences = batch.tokens.size(0);
  if (sequences % settings.micro_batches != 0) {
    throw bad_input({.where = "micro-batches",
                     .what = fmt::format("a batch of {} does not divide into {}", sequences, settings.micro_batches),
                     .remedy = "choose a number that divides the batch"});
  }
  StepResult result;
  const auto scale = 1 / static_cast<double>(batch.tokens.numel() * (replicas != nullptr ? replicas->group.size() : 1));
  const auto share = sequences / settings.micro_batches;
  gradients.start_step();
  for (std::int64_t i = 0; i < settings.micro_batches; ++i) {
    const Input micro{.tokens = batch.tokens.narrow(0, i * share, share),
                      .targets = batch.targets.narrow(0, i * share, share)};
    Saved saved(settings.saved);
    auto saving = context;
    saving.saved = &saved;
    {
      const PartScope part(StepPart::forward, context, ended);
      result.loss += model.loss(micro, scale, saving);
      part.end();
    }
    result.saved_bytes = std::max(result.saved_bytes, saved.bytes());
    result.logits_bytes = static_cast<std::int64_t>(saved.last().local.nbytes());
    const PartScope part(StepPart::backward, context, ended);
    model.backward(micro, saving, gradients);
    if (!saved.empty()) throw internal_error({.where = "backward", .what = "it has not taken all that was saved"});
    part.end();
  }
  {
    const PartScope part(StepPart::gradients, context, ended);
    gradients.finish_step(context);
    part.end();
  }
  if (optimizer != nullptr) {
    const PartScope part(StepPart::optimizer, context, ended);
    optimizer->step(gradients);
    weights.share_updates();
    part.end();
  }
  weights.release();
  if (replicas != nullptr) result.loss = sum_over_replicas(result.loss, batch.tokens.device(), *replicas);
  return result;
}

}  // namespace tpsp
