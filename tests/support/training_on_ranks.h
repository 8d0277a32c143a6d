// A model's training step on ranks that are threads, and how far its gradients are from the reference's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "support/forward_on_ranks.h"
#include "support/process_groups.h"
#include "tpsp/models/training_step.h"

namespace tpsp {

/// Tokens and what is to follow each.
inline Input training_input(std::int64_t batch, std::int64_t seq, std::int64_t vocabulary) {
  return training_input(make_tokens(5, batch, seq + 1, vocabulary));
}

inline ReferenceStep reference_of(const LlamaConfig& config, const WeightRecipe& recipe, const Input& input) {
  return Llama(config).reference_step(recipe, input, 1 / static_cast<double>(input.tokens.numel()));
}

inline std::vector<SavedPolicy> all_policies() {
  std::vector<SavedPolicy> policies;
  for (const auto recompute : {Recompute::none, Recompute::attention, Recompute::block}) {
    for (const bool regather : {true, false}) policies.push_back({.recompute = recompute, .regather = regather});
  }
  return policies;
}

struct StepOptions {
  SavedPolicy policy{};
  at::ScalarType dtype = at::kFloat;
  std::int64_t micro_batches = 1;  ///< equal parts of the batch
  bool finishes = true;            ///< sums what is partial over the ranks
  bool reserves = true;            ///< memory that ranks share, as much as a preview asks for
  bool apart = false;              ///< as if they shared none
};

/// What one rank has after a step.
struct RankStep {
  double loss = 0;
  std::map<std::string, at::Tensor> gradients;  ///< of its shards
  CommCounts forward;                           ///< of all micro-batches
  CommCounts backward;
  CommCounts finish;
  std::int64_t saved_bytes = 0;  ///< between forward and backward
};

namespace training {

/// One rank's step on any process group.
inline RankStep step(const Llama& llama, const LoweredPlan& plan, ProcessGroup& group, int rank, at::Device device,
                     const Input& input, const StepOptions& options) {
  ResidentWeights weights(plan, rank, {.seed = test_seed, .dtype = options.dtype, .device = device});
  Gradients gradients(plan, options.dtype, device);
  const auto model = llama.bind(plan, weights);
  RankStep result;
  EventCounter counter(plan.world);
  const StepSettings settings{.saved = options.policy, .micro_batches = options.micro_batches};
  const auto count_part = [&](StepPart part) {
    if (part == StepPart::forward) result.forward += counter.take();
    if (part == StepPart::backward) result.backward += counter.take();
    if (part == StepPart::gradients) result.finish += counter.take();
  };
  if (!options.finishes) {
    Saved saved(options.policy);
    const Context context{.tp = group, .saved = &saved};
    gradients.start_step();
    model->loss(input, 1 / static_cast<double>(input.tokens.numel()), context);
    model->backward(input, context, gradients);
  } else {
    const auto done =
        training_step({*model, weights, gradients}, input, settings, {.tp = group, .events = &counter}, count_part);
    result.loss = done.loss;
    result.saved_bytes = done.saved_bytes;
  }
  for (const auto& module : plan.modules) {
    if (!module.dims.empty()) result.gradients[module.name] = gradients.of(module.name).clone();
  }
  return result;
}

}  // namespace training

inline std::vector<RankStep> step_on_ranks(const LlamaConfig& config, const Plan& plan, int world, const Input& input,
                                           const StepOptions& options = {}) {
  const Llama llama(config);
  const auto lowered = lower(plan, modules_of(config), world);
  std::vector<RankStep> results(static_cast<std::size_t>(world));
  on_ranks(world, [&](World& ranks, ProcessGroup& transport) {
    if (options.reserves && !options.apart) {
      DryProcessGroup dry(0, world, transport.shares_memory());
      const Input meta{.tokens = input.tokens.to(at::kMeta), .targets = input.targets.to(at::kMeta)};
      training::step(llama, lowered, dry, 0, at::kMeta, meta, options);
      transport.reserve(dry.arena());
    }
    Apart apart(transport);
    CallCounter calls(options.apart ? static_cast<ProcessGroup&>(apart) : transport);
    auto& mine = results[static_cast<std::size_t>(ranks.rank())];
    mine = training::step(llama, lowered, calls, ranks.rank(), at::kCPU, input, options);
  });
  return results;
}

/// The largest error of a gradient over the tensor's largest value, and where it is.
struct WorstGradient {
  double error = 0;
  std::string module;
};

inline WorstGradient worst_gradient(const std::vector<RankStep>& results, const LoweredPlan& plan,
                                    const ReferenceStep& reference) {
  WorstGradient worst;
  double largest_of_all = 0;
  for (const auto& [name, whole] : reference.gradients) {
    largest_of_all = std::max(largest_of_all, whole.abs().max().item<double>());
  }
  for (const auto& module : plan.modules) {
    if (module.dims.empty()) continue;
    const auto& whole = reference.gradients.at(module.name);
    // That of queries and keys is 0 for one token, but for rounding.
    const auto largest = std::max(whole.abs().max().item<double>(), 1e-3 * largest_of_all);
    for (std::size_t rank = 0; rank < results.size(); ++rank) {
      const auto& mine = results[rank].gradients.at(module.name);
      const auto& dim = plan.at(module.name).weight_dim;
      auto expected = whole.to(at::kFloat);
      if (dim) {
        const auto size = mine.size(*dim);
        std::vector<std::int64_t> padding(2 * (whole.dim() - *dim), 0);
        padding.back() = size * plan.world - whole.size(*dim);
        expected = at::constant_pad_nd(expected, padding).narrow(*dim, static_cast<std::int64_t>(rank) * size, size);
      }
      auto error = (mine.to(at::kFloat) - expected).abs().max().item<double>() / largest;
      if (!std::isfinite(error)) error = std::numeric_limits<double>::infinity();
      if (error > worst.error) worst = {.error = error, .module = module.name};
    }
  }
  return worst;
}

}  // namespace tpsp
