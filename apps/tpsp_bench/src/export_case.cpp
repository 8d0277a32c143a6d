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

}  // namespace

void export_case(const BenchOptions& options, World& world, ProcessGroup& comm) {
  const auto& sweep = options.jobs.front().sweep;
  const auto& plan = sweep.plans.front();
  const auto tokens = make_tokens(sweep.seed, sweep.batch, sweep.seqs.front(), sweep.model->vocabulary());
  const c10::InferenceMode no_gradients;
  const ResidentWeights weights(plan, world.rank(), recipe_of(sweep));
  const auto logits = logits_of(sweep, *sweep.model->bind(plan, weights), tokens.to(sweep.device), {.tp = comm});
  agree(world, [&] {
    if (world.rank() != 0) return;
    export_model(*options.export_folder, *sweep.model, recipe_of(sweep));
    export_io(*options.export_folder, tokens, logits);
  });
}

void export_training_case(const BenchOptions& options, const Input& input, const SavedPolicy& policy, World& world,
                          ProcessGroup& comm) {
  const auto& sweep = options.jobs.front().sweep;
  const auto& plan = sweep.plans.front();
  const c10::InferenceMode no_gradients;
  const ResidentWeights weights(plan, world.rank(), recipe_of(sweep));
  Gradients gradients(plan, world.rank(), sweep.dtype, sweep.device);
  const auto model = sweep.model->bind(plan, weights);
  const Input here{.tokens = input.tokens.to(sweep.device), .targets = input.targets.to(sweep.device)};
  const Context context{.tp = comm};

  double loss = 0;
  {
    Saved saved(policy);
    gradients.start_step();
    loss = model->loss(here, 1 / static_cast<double>(here.tokens.numel()), context.saving_in(saved));
    model->backward(here, context.saving_in(saved), gradients);
    gradients.finish_step(context);
  }
  {
    const auto logits = logits_of(sweep, *model, here.tokens, context);
    agree(world, [&] {
      if (world.rank() != 0) return;
      export_model(*options.export_folder, *sweep.model, recipe_of(sweep));
      export_step_io(*options.export_folder, here, logits, loss);
    });
  }
  const auto gathered = [&](const std::string& module) { return gathered_gradient(gradients, plan, module, context); };
  export_gradients(*options.export_folder, *sweep.model, gathered, world);
}

}  // namespace tpsp
