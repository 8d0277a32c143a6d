// The memory that a case has to find free, against what it takes.
#include "fit.h"

#include <array>

#include "bench/small_sweeps.h"
#include "tpsp/machine/memory.h"

using namespace tpsp;

namespace {

constexpr std::array all_stages{ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters};

Sweep replicas_sweep(const LlamaConfig& config, const Plan& plan, int tp, const StepSettings& step) {
  auto sweep = sweep_of({}, tp);
  sweep.model = std::make_shared<Llama>(config);
  sweep.plans = {lower(plan, modules_of(config), tp)};
  sweep.seqs = {5};
  sweep.batch = step.dp;
  sweep.training = step;
  return sweep;
}

/// The whole embedding is on each rank, and by far its largest weight.
Sweep wordy_sweep(int tp, const StepSettings& step) {
  auto plan = load_plan("tp");
  plan.rules.front().style = Style::replicate;
  const auto config =
      parse_model("wordy", "wordy.yaml", "{hidden: 64, layers: 1, heads: 4, kv_heads: 4, ffn: 128, vocabulary: 4096}");
  return replicas_sweep(config, plan, tp, step);
}

/// No weight is large beside all of them.
Sweep deep_sweep(int tp, const StepSettings& step) {
  auto config = load_model("llama-tiny");
  config.layers = 8;
  return replicas_sweep(config, load_plan("tp"), tp, step);
}

}  // namespace

TEST_CASE("weights beside replicas, their gradients and optimizer are made in the memory that is asked for them") {
  const c10::InferenceMode no_gradients;
  constexpr int dp = 64;
  const auto stage = GENERATE(from_range(all_stages));
  const bool adamw = GENERATE(false, true);
  auto sweep = wordy_sweep(2, {.adamw = adamw, .dp = dp, .shard = stage});
  sweep.dtype = GENERATE(at::kFloat, at::kBFloat16);
  sweep.previews = std::make_shared<Previews>(sweep.model, sweep.dtype, true, true);
  const auto& plan = sweep.plans.front();
  const auto asked = resident_bytes(sweep, plan);

  DryProcessGroup group(0, dp);
  const DataParallel replicas{.group = group, .stage = stage};
  const AllocationMeter meter(at::kCPU);
  const auto weights = make_trainable_weights(plan, 0, {.seed = 1, .dtype = sweep.dtype}, &replicas);
  const Gradients gradients(plan, sweep.dtype, at::kCPU, &replicas);
  std::optional<AdamW> optimizer;
  if (adamw) optimizer.emplace(*weights);
  CAPTURE(to_string(stage), adamw, at::toString(sweep.dtype));
  CHECK(meter.peak_bytes() <= asked);
  CHECK(asked < 2 * meter.peak_bytes());
}

TEST_CASE("a checked step of replicas takes no more memory than is asked for it") {
  const auto size = GENERATE(MeshSize{1, 2}, MeshSize{2, 2});
  for (const auto stage : all_stages) {
    for (const bool adamw : {false, true}) {
      const auto sweep = deep_sweep(size.tp, {.adamw = adamw, .dp = size.dp, .shard = stage});
      std::int64_t asked = 0;
      std::int64_t taken = 0;
      on_mesh(size, [&](World& world, ProcessGroup& tp, ProcessGroup& dp) {
        const Mesh mesh(world, size.tp);
        auto mine = sweep;
        mine.previews = std::make_shared<Previews>(sweep.model, sweep.dtype, tp.shares_memory(), dp.shares_memory());
        const AllocationMeter meter(at::kCPU);
        run_sweep(mine, world, Groups(tp, dp, mesh), {.row = [](const Row&) {}});
        if (world.rank() != 0) return;
        taken = meter.peak_bytes();
        const auto& plan = mine.plans.front();
        asked = resident_bytes(mine, plan) + working_bytes(mine, plan, mine.seqs.front(), world.size());
      });
      CAPTURE(size.tp, size.dp, to_string(stage), adamw);
      CHECK(taken <= asked);
      CHECK(asked < 2 * taken);
    }
  }
}

TEST_CASE("a check of replicas leaves nothing in memory") {
  constexpr MeshSize size{1, 2};
  for (const auto stage : all_stages) {
    for (const bool adamw : {false, true}) {
      const auto left = [&](bool check) {
        auto sweep = deep_sweep(size.tp, {.adamw = adamw, .dp = size.dp, .shard = stage});
        sweep.check = check;
        std::int64_t bytes = 0;
        on_mesh(size, [&](World& world, ProcessGroup& tp, ProcessGroup& dp) {
          const Mesh mesh(world, size.tp);
          const AllocationMeter meter(at::kCPU);
          const auto note = [&](const Row&) {
            if (world.rank() == 0) bytes = meter.current_bytes();
          };
          run_sweep(sweep, world, Groups(tp, dp, mesh), {.row = note});
        });
        return bytes;
      };
      CAPTURE(to_string(stage), adamw);
      CHECK(left(true) == left(false));
    }
  }
}
