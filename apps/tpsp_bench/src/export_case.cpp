#include "export_case.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <string>
#include <utility>

#include "tpsp/models/export.h"
#include "tpsp/weights/gradients.h"

namespace tpsp {
namespace {

WeightRecipe recipe_of(const Sweep& sweep) {
  return {.seed = sweep.seed, .dtype = sweep.dtype, .device = sweep.device};
}

at::Tensor logits_of(const Sweep& sweep, const Model& model, const at::Tensor& tokens, const Context& context) {
  auto sharded = model.forward({.tokens = tokens}, context);
  return gathered_logits(std::move(sharded), tokens.size(1), sweep.model->vocabulary(), context);
}

void export_forward(const std::filesystem::path& folder, const Sweep& sweep, World& world, const Context& context) {
  const auto& plan = sweep.plans.front();
  const auto tokens = make_tokens(sweep.seed, sweep.batch, sweep.seqs.front(), sweep.model->vocabulary());
  const ResidentWeights weights(plan, context.tp.rank(), recipe_of(sweep));
  const auto logits = logits_of(sweep, *sweep.model->bind(plan, weights), tokens.to(sweep.device), context);
  agree(world, [&] {
    if (world.rank() != 0) return;
    export_model(folder, *sweep.model, recipe_of(sweep));
    export_io(folder, tokens, logits);
  });
}

// From the weights of the seed, whatever steps were made before, and without an optimizer.
void export_step(const std::filesystem::path& folder, const Sweep& sweep, World& world, const Groups& groups) {
  const Context context{.tp = groups.tp};
  std::optional<DataParallel> replicas;
  if (groups.dp != nullptr) replicas.emplace(DataParallel{.group = *groups.dp, .stage = sweep.training->shard});
  const auto* const beside = replicas ? &*replicas : nullptr;
  const auto& plan = sweep.plans.front();
  const auto text = make_tokens(sweep.seed, sweep.batch, sweep.seqs.front() + 1, sweep.model->vocabulary());
  const auto input = training_input(text.to(sweep.device));
  const auto weights = make_trainable_weights(plan, context.tp.rank(), recipe_of(sweep), beside);
  Gradients gradients(plan, sweep.dtype, sweep.device, beside);
  const auto model = sweep.model->bind(plan, *weights);
  const Trainee trainee{
      .model = *model, .weights = *weights, .gradients = gradients, .optimizer = nullptr, .replicas = beside};
  const auto loss = training_step(trainee, share_of(input, beside), *sweep.training, context).loss;
  {
    const auto logits = logits_of(sweep, *model, input.tokens, context);
    agree(world, [&] {
      if (world.rank() != 0) return;
      export_model(folder, *sweep.model, recipe_of(sweep));
      export_step_io(folder, input, logits, loss);
    });
  }
  const auto gathered = [&](const std::string& module) { return gathered_gradient(gradients, plan, module, context); };
  export_gradients(folder, *sweep.model, gathered, world);
}

}  // namespace

void export_case(const std::filesystem::path& folder, const Sweep& sweep, World& world, const Groups& groups) {
  const c10::InferenceMode no_gradients;
  if (sweep.training) {
    export_step(folder, sweep, world, groups);
  } else {
    export_forward(folder, sweep, world, {.tp = groups.tp});
  }
}

}  // namespace tpsp
