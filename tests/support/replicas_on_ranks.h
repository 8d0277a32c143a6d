// A model's training steps on a mesh of ranks that are threads: replicas of tensor-parallel groups.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "support/training_on_ranks.h"
#include "tpsp/comm/mesh.h"
#include "tpsp/weights/adamw.h"
#include "tpsp/weights/data_parallel.h"

namespace tpsp {

struct MeshSize {
  int tp = 1;
  int dp = 1;
};

struct ReplicaOptions {
  ZeroStage stage = ZeroStage::none;
  SavedPolicy policy{};
  at::ScalarType dtype = at::kFloat;
  std::int64_t micro_batches = 1;  ///< equal parts of a replica's sequences
  int steps = 1;
  bool reserves = true;  ///< memory that ranks share, as much as a dry run asks for
  bool apart = false;    ///< as if they shared none
  bool sums = true;      ///< over the replicas
};

/// What one rank has after its steps.
struct ReplicaResult {
  std::vector<double> losses;                 ///< of each step, over all replicas
  std::map<std::string, at::Tensor> reduced;  ///< gradients of the last step, by unit
  std::map<std::string, at::Tensor> weights;  ///< by parameter
  CommCounts forward;                         ///< over the replicas, of the last micro-batch
  CommCounts backward;
  CommCounts gradients;  ///< at the last step's end
  CommCounts parameters;
  CommCounts loss;
  std::int64_t weights_bytes = 0;
  std::int64_t gradient_bytes = 0;
  std::int64_t optimizer_bytes = 0;
};

/// Sums nothing: each rank keeps its own term.
class Unsummed final : public ForwardingProcessGroup {
 public:
  using ForwardingProcessGroup::ForwardingProcessGroup;
  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    if (!sum.is_same(partial)) sum.copy_(partial);
  }
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    shard.copy_(full.view({size(), -1})[rank()].view(shard.sizes()));
  }
};

namespace training {

/// One rank's steps on any process groups, of the whole batch's `input`.
inline ReplicaResult replica_steps(const Llama& llama, const LoweredPlan& plan, ProcessGroup& tp, ProcessGroup& dp,
                                   at::Device device, const Input& input, const ReplicaOptions& options) {
  EventCounter counter(dp.size());
  const DataParallel replicas{.group = dp, .stage = options.stage, .events = &counter};
  FlatWeights weights(plan, tp.rank(), {.seed = test_seed, .dtype = options.dtype, .device = device}, replicas);
  Gradients gradients(plan, options.dtype, device, &replicas);
  AdamW optimizer(weights);
  const auto model = llama.bind(plan, weights);
  const Input own{.tokens = replica_sequences(input.tokens, dp), .targets = replica_sequences(input.targets, dp)};
  const StepSettings settings{.saved = options.policy,
                              .micro_batches = options.micro_batches,
                              .adamw = true,
                              .dp = dp.size(),
                              .shard = options.stage};
  const Trainee trainee{*model, weights, gradients, &optimizer, &replicas};
  ReplicaResult result;
  for (int step = 0; step < options.steps; ++step) {
    const auto count_part = [&](StepPart part) {
      if (part == StepPart::forward) result.forward = counter.take();
      if (part == StepPart::backward) result.backward = counter.take();
      if (part == StepPart::gradients) result.gradients = counter.take();
      if (part == StepPart::optimizer) result.parameters = counter.take();
    };
    result.losses.push_back(training_step(trainee, own, settings, {.tp = tp}, count_part).loss);
    result.loss = counter.take();
  }
  result.weights_bytes = weights.bytes();
  result.gradient_bytes = gradients.bytes();
  result.optimizer_bytes = optimizer.bytes();
  for (const auto& [unit, unused] : weights.parameters()) result.reduced[unit] = gradients.reduced(unit).clone();
  for (const auto& parameter : parameters_of(plan)) {
    result.weights[parameter.name] = weights.get(parameter.name).clone();
  }
  return result;
}

}  // namespace training

/// Runs `body` on dp x tp threads with each one's two process groups.
inline void on_mesh(const MeshSize& size, const std::function<void(World&, ProcessGroup&, ProcessGroup&)>& body) {
  at::set_num_threads(1);
  run_threads(size.tp * size.dp, [&](World& world) {
    const c10::InferenceMode no_gradients;
    const Mesh mesh(world, size.tp);
    const auto tp = make_process_group(standard_backends(), "auto", mesh.tp(), at::kCPU);
    const auto dp = make_process_group(standard_backends(), "auto", mesh.dp(), at::kCPU);
    body(world, *tp, *dp);
  });
}

inline std::vector<ReplicaResult> replicas_on_ranks(const LlamaConfig& config, const Plan& plan, const MeshSize& size,
                                                    const Input& input, const ReplicaOptions& options = {}) {
  const Llama llama(config);
  const auto lowered = lower(plan, modules_of(config), size.tp);
  std::vector<ReplicaResult> results(static_cast<std::size_t>(size.tp * size.dp));
  on_mesh(size, [&](World& world, ProcessGroup& tp, ProcessGroup& dp) {
    if (options.reserves && !options.apart) {
      DryProcessGroup dry_tp(0, size.tp, tp.shares_memory());
      DryProcessGroup dry_dp(0, size.dp, dp.shares_memory());
      const Input meta{.tokens = input.tokens.to(at::kMeta), .targets = input.targets.to(at::kMeta)};
      training::replica_steps(llama, lowered, dry_tp, dry_dp, at::kMeta, meta, options);
      tp.reserve(dry_tp.arena());
      dp.reserve(dry_dp.arena());
    }
    Apart tp_apart(tp);
    Apart dp_apart(dp);
    Unsummed unsummed(dp);
    auto& of_tp = options.apart ? static_cast<ProcessGroup&>(tp_apart) : tp;
    auto& of_dp = options.apart ? static_cast<ProcessGroup&>(dp_apart) : dp;
    results[static_cast<std::size_t>(world.rank())] =
        training::replica_steps(llama, lowered, of_tp, options.sums ? of_dp : unsummed, at::kCPU, input, options);
  });
  return results;
}

/// The gradients of each tensor-parallel rank by module, put together from its replicas' parts: as step_on_ranks gives
/// them.
inline std::vector<RankStep> reassembled(const std::vector<ReplicaResult>& results, const LoweredPlan& plan,
                                         const MeshSize& size, ZeroStage stage) {
  DryProcessGroup group(0, size.dp);
  const auto units = flat_units(plan, {.group = group, .stage = stage});
  std::vector<RankStep> steps;
  for (int tp = 0; tp < size.tp; ++tp) {
    RankStep step;
    for (const auto& unit : units) {
      std::vector<at::Tensor> parts;
      for (int dp = 0; dp < (stage == ZeroStage::none ? 1 : size.dp); ++dp) {
        parts.push_back(results[static_cast<std::size_t>(dp * size.tp + tp)].reduced.at(unit.name));
      }
      const auto flat = at::cat(parts);
      for (const auto& part : unit.parts) {
        std::int64_t first = 0;
        for (std::size_t i = 0; i < part.parameter.modules.size(); ++i) {
          const auto rows = part.parameter.rows[i];
          step.gradients[part.parameter.modules[i].name] = part.of(flat).narrow(0, first, rows);
          first += rows;
        }
      }
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

}  // namespace tpsp
