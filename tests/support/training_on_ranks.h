// A model's training step on ranks that are threads, and how far its gradients are from the reference's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "support/forward_on_ranks.h"
#include "support/process_groups.h"
#include "tpsp/parallel/saved.h"
#include "tpsp/weights/gradients.h"

namespace tpsp {

/// Tokens and what is to follow each.
inline Input training_input(std::int64_t batch, std::int64_t seq, std::int64_t vocabulary) {
  const auto text = make_tokens(5, batch, seq + 1, vocabulary);
  return {.tokens = text.narrow(1, 0, seq).contiguous(), .targets = text.narrow(1, 1, seq).contiguous()};
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
  CommCounts forward;                           ///< of the last micro-batch
  CommCounts backward;
  CommCounts finish;
  std::int64_t saved_bytes = 0;  ///< between forward and backward
};

namespace training {

/// One rank's step on any process group.
inline RankStep step(const Llama& llama, const LoweredPlan& plan, ProcessGroup& group, int rank, at::Device device,
                     const Input& input, const StepOptions& options) {
  const ResidentWeights weights(plan, rank, {.seed = test_seed, .dtype = options.dtype, .device = device});
  Gradients gradients(plan, rank, options.dtype, device);
  const auto model = llama.bind(plan, weights);
  RankStep result;
  EventCounter counter(plan.world);
  const auto scale = 1 / static_cast<double>(input.tokens.numel());
  const auto part = input.tokens.size(0) / options.micro_batches;
  gradients.start_step();
  for (std::int64_t i = 0; i < options.micro_batches; ++i) {
    const Input micro{.tokens = input.tokens.narrow(0, i * part, part),
                      .targets = input.targets.narrow(0, i * part, part)};
    Saved saved(options.policy);
    const Context context{.tp = group, .events = &counter, .saved = &saved};
    result.loss += model->loss(micro, scale, context);
    result.saved_bytes = saved.bytes();
    result.forward = counter.take();
    model->backward(micro, context, gradients);
    result.backward = counter.take();
    if (!saved.empty()) throw std::logic_error("the backward has not taken all that was saved");
  }
  if (options.finishes) gradients.finish_step({.tp = group, .events = &counter});
  result.finish = counter.take();
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
