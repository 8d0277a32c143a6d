// The loss and the gradients of every plan, against automatic differentiation of the unsharded reference.

#include "support/torch_and_catch.h"
// The line above comes first.
#include "support/expected_collectives.h"
#include "support/random_plan.h"
#include "support/thrown.h"
#include "support/training_on_ranks.h"
#include "tpsp/weights/adamw.h"

using namespace tpsp;

namespace {

constexpr double bound = 1e-4;  // of fp32

struct Shape {
  std::int64_t batch;
  std::int64_t seq;
};

void check_step(const LlamaConfig& config, const Plan& plan, int world, const Shape& shape,
                const StepOptions& options = {}, double within = bound) {
  const auto input = training_input(shape.batch, shape.seq, config.vocabulary);
  const auto reference = reference_of(config, {.seed = test_seed, .dtype = options.dtype}, input);
  const auto results = step_on_ranks(config, plan, world, input, options);
  const auto worst = worst_gradient(results, lower(plan, modules_of(config), world), reference);
  INFO(plan.name << " world " << world << " batch " << shape.batch << " seq " << shape.seq << ": " << worst.module);
  CHECK(worst.error < within);
  for (const auto& result : results) CHECK(result.loss == Approx(reference.loss).epsilon(within / 10));
}

}  // namespace

TEST_CASE("a step under a plan that comes with the program has the reference's loss and gradients") {
  const auto config = load_model("llama-tiny");
  const auto* const name = GENERATE("tp", "tp+sp", "tp.rules", "tp+sp.rules", "attention-only", "ffn-only",
                                    "tp-attention-sp-ffn", "tp-sharded-logits");
  for (const auto& shape : {Shape{2, 16}, Shape{1, 1}, Shape{2, 7}, Shape{1, 3}}) {
    for (const int world : {1, 2, 4}) check_step(config, load_plan(name), world, shape);
  }
}

TEST_CASE("what is saved and what is computed again does not change the gradients") {
  const auto config = load_model("llama-tiny");
  const auto* const name = GENERATE("tp", "tp+sp");
  const auto policy = GENERATE(from_range(all_policies()));
  CAPTURE(name, static_cast<int>(policy.recompute), policy.regather);
  for (const int world : {1, 4}) check_step(config, load_plan(name), world, {2, 7}, {.policy = policy});
}

TEST_CASE("micro-batches add up to the gradients of the whole batch") {
  const auto config = load_model("llama-tiny");
  const auto* const name = GENERATE("tp", "tp+sp");
  check_step(config, load_plan(name), 2, {4, 6}, {.micro_batches = 2});
  check_step(config, load_plan(name), 2, {4, 6}, {.micro_batches = 4});
}

TEST_CASE("ranks without memory in common have the same gradients") {
  const auto config = load_model("llama-tiny");
  for (const auto* name : {"tp", "tp+sp", "tp-attention-sp-ffn"}) {
    check_step(config, load_plan(name), 4, {2, 12}, {.apart = true});
    check_step(config, load_plan(name), 4, {2, 12}, {.reserves = false});
  }
}

TEST_CASE("a step in bf16 is as near as bf16 allows") {
  const auto config = load_model("llama-tiny");
  const auto* const name = GENERATE("tp", "tp+sp");
  for (const int world : {1, 2, 4}) check_step(config, load_plan(name), world, {2, 16}, {.dtype = at::kBFloat16}, 3e-2);
}

TEST_CASE("replicated keys and values have their whole gradient where a rank's heads straddle two groups") {
  const auto config =
      parse_model("six", "six.yaml", "{hidden: 48, layers: 1, heads: 6, kv_heads: 2, vocabulary: 20, ffn: 48}");
  auto plan = load_plan("tp");
  const auto more = inline_plan("  - {match: 'layers\\.\\d+\\.attention\\.(wk|wv)', style: replicate}\n");
  for (const auto& rule : more.rules) plan.rules.push_back(rule);
  for (const int world : {2, 3, 6}) check_step(config, plan, world, {2, 7});
}

TEST_CASE("without the sum over ranks at the end the norms' gradients are wrong under tp+sp") {
  const auto config = load_model("llama-tiny");
  const auto input = training_input(2, 16, config.vocabulary);
  const auto reference = reference_of(config, {.seed = test_seed}, input);
  const auto plan = load_plan("tp+sp");
  const auto results = step_on_ranks(config, plan, 2, input, {.finishes = false});
  const auto worst = worst_gradient(results, lower(plan, modules_of(config), 2), reference);
  CHECK(worst.error > 0.1);
  CHECK_THAT(worst.module, Catch::EndsWith("norm"));
}

TEST_CASE("a random plan has right gradients or is refused as bad input") {
  const auto config = load_model("llama-tiny");
  const auto input = training_input(2, 5, config.vocabulary);
  const auto reference = reference_of(config, {.seed = test_seed}, input);
  constexpr int plans = 120;
  RandomPlans random(2026);
  const auto policies = all_policies();
  int ran = 0;
  for (int i = 0; i < plans; ++i) {
    const auto plan = random.next();
    const int world = i % 2 == 0 ? 2 : 4;
    INFO("plan " << i);
    try {
      const StepOptions options{.policy = policies[static_cast<std::size_t>(i / 2) % policies.size()]};
      const auto results = step_on_ranks(config, plan, world, input, options);
      const auto worst = worst_gradient(results, lower(plan, modules_of(config), world), reference);
      INFO(worst.module);
      CHECK(worst.error < bound);
      CHECK(results.front().loss == Approx(reference.loss).epsilon(1e-5));
      ++ran;
    } catch (const Error& refusal) {
      INFO(refusal.what());
      CHECK(refusal.code() == ExitCode::bad_input);
    }
  }
  CHECK(ran >= plans / 3);
}

namespace {

RankStep counted_step(const std::string& plan, std::int64_t layers, const SavedPolicy& policy = {}) {
  auto config = load_model("llama-tiny");
  config.layers = layers;
  const auto input = training_input(2, 16, config.vocabulary);
  return step_on_ranks(config, load_plan(plan), 2, input, {.policy = policy}).front();
}

constexpr std::int64_t loss_gathers = 1;  // three numbers for each token

}  // namespace

TEST_CASE("tp all-reduces as often in the backward as in the forward") {
  for (const std::int64_t layers : {1, 2, 5}) {
    const auto step = counted_step("tp", layers);
    CHECK(step.forward.all_reduces == expected_reductions(layers));
    CHECK(step.forward.all_gathers == loss_gathers);
    CHECK(step.backward.all_reduces == expected_reductions(layers));
    CHECK(step.backward.all_gathers == 0);
    CHECK(step.forward.reduce_scatters + step.backward.reduce_scatters == 0);
    CHECK(step.finish == CommCounts{});
  }
}

TEST_CASE("tp+sp has a reduce-scatter and an all-gather for each all-reduce of tp, and gathers inputs again") {
  for (const std::int64_t layers : {1, 2, 5}) {
    const auto reductions = expected_reductions(layers);
    const auto step = counted_step("tp+sp", layers);
    CHECK(step.forward.reduce_scatters == reductions);
    CHECK(step.forward.all_gathers == reductions + loss_gathers);
    CHECK(step.backward.reduce_scatters == reductions);
    CHECK(step.backward.all_gathers == 2 * reductions);
    CHECK(step.forward.all_reduces + step.backward.all_reduces == 0);
    CHECK(step.finish.all_reduces == 1);  // of all norms' gradients
    const auto kept = counted_step("tp+sp", layers, {.regather = false});
    CHECK(kept.backward.all_gathers == reductions);
  }
}

TEST_CASE("tp+sp saves less than tp, by what sequence parallelism shards") {
  const auto saved = [](const std::string& plan, const SavedPolicy& policy) {
    return counted_step(plan, 2, policy).saved_bytes;
  };
  const auto config = load_model("llama-tiny");
  // The stream before each norm, and no more: two a layer and one before the head, in fp32.
  const auto streams = (2 * 2 + 1) * 2 * 16 * config.hidden * 4;
  CHECK(saved("tp", {}) - saved("tp+sp", {}) == streams / 2);
  CHECK(saved("tp+sp", {.regather = false}) > saved("tp+sp", {}));
  CHECK(saved("tp+sp", {.recompute = Recompute::attention}) < saved("tp+sp", {}));
  CHECK(saved("tp+sp", {.recompute = Recompute::block}) < saved("tp+sp", {.recompute = Recompute::attention}));
}

TEST_CASE("an architecture without a training step says so") {
  class Forward final : public Model {
    Sharded forward(const Input&, const Context&) const override { return {}; }
  };
  DryProcessGroup group(0, 1);
  const std::unique_ptr<const Model> model = std::make_unique<const Forward>();
  CHECK(complaint_of([&] { model->loss({}, 1, {.tp = group}); }) ==
        "model: it has no training step; measure its forward");
}

namespace {

struct Trained {
  std::vector<double> losses;
  std::map<std::string, at::Tensor> weights;  // of rank 0's shards
};

Trained train(const Plan& plan, int world, const SavedPolicy& policy, int steps, at::ScalarType dtype = at::kFloat) {
  const auto config = load_model("llama-tiny");
  const Llama llama(config);
  const auto lowered = lower(plan, modules_of(config), world);
  const auto input = training_input(2, 9, config.vocabulary);
  Trained result;
  on_ranks(world, [&](World& ranks, ProcessGroup& group) {
    const ResidentWeights weights(lowered, ranks.rank(), {.seed = test_seed, .dtype = dtype});
    const auto model = llama.bind(lowered, weights);
    Gradients gradients(lowered, dtype, at::kCPU);
    AdamW optimizer(weights);
    std::vector<double> losses;
    for (int i = 0; i < steps; ++i) {
      Saved saved(policy);
      const Context context{.tp = group, .saved = &saved};
      gradients.start_step();
      losses.push_back(model->loss(input, 1.0 / 18, context));
      model->backward(input, context, gradients);
      gradients.finish_step({.tp = group});
      optimizer.step(gradients);
    }
    if (ranks.rank() == 0) result = {.losses = losses, .weights = weights.parameters()};
  });
  return result;
}

// After the first step, whose corrected moments are the gradient and its square.
at::Tensor stepped(const at::Tensor& weight, const at::Tensor& gradient) {
  const AdamWOptions options;
  const auto direction = gradient / (gradient.abs() + options.eps);
  return weight * (1 - options.learning_rate * options.weight_decay) - direction * options.learning_rate;
}

}  // namespace

TEST_CASE("the first step of AdamW moves each weight against the sign of its gradient") {
  const auto config = load_model("llama-tiny");
  const auto input = training_input(2, 9, config.vocabulary);
  const WeightRecipe recipe{.seed = test_seed};
  const auto reference = reference_of(config, recipe, input);
  const auto trained = train(load_plan("tp"), 1, {}, 1);
  const auto modules = modules_of(config);
  std::size_t compared = 0;
  for (const auto& [name, weight] : trained.weights) {
    std::int64_t first = 0;  // row, of the weights that are fused in a container
    for (const auto& module : modules) {
      const bool within = module.name == name || (weight.dim() == 2 && module.name.starts_with(name + "."));
      if (!within || module.dims.empty() || trained.weights.contains(module.name) != (module.name == name)) continue;
      const auto& gradient = reference.gradients.at(module.name);
      const auto expected = stepped(make_weight(module, {}, recipe), gradient);
      const auto mine = weight.narrow(0, first, expected.size(0));
      first += expected.size(0);
      // Where a gradient is next to 0 its sign is rounding's.
      const auto clear = gradient.abs() > 1e-6;
      INFO(module.name);
      CHECK(((mine - expected).abs() * clear).max().item<double>() < 1e-5);
      ++compared;
    }
  }
  CHECK(compared == reference.gradients.size());
}

TEST_CASE("five steps of AdamW are the formula's, with its bias corrections and decay") {
  const auto config = load_model("llama-tiny");
  const auto plan = lower(load_plan("tp"), modules_of(config), 1);
  const ResidentWeights weights(plan, 0, {.seed = test_seed});
  Gradients gradients(plan, at::kFloat, at::kCPU);
  const AdamWOptions options{.learning_rate = 1e-2, .beta1 = 0.8, .beta2 = 0.9, .eps = 1e-6, .weight_decay = 0.1};
  AdamW optimizer(weights, options);
  const auto* const name = "output";
  const auto weight = weights.parameters().at(name);
  auto expected = weight.to(at::kDouble);
  auto mean = at::zeros_like(expected);
  auto square = at::zeros_like(expected);
  at::manual_seed(9);
  for (int step = 1; step <= 5; ++step) {
    for (const auto& [module, unused] : weights.parameters()) gradients.at(module).value.normal_();
    optimizer.step(gradients);
    const auto g = gradients.at(name).value.to(at::kDouble);
    mean = options.beta1 * mean + (1 - options.beta1) * g;
    square = options.beta2 * square + (1 - options.beta2) * g * g;
    const auto corrected = mean / (1 - std::pow(options.beta1, step));
    const auto root = (square / (1 - std::pow(options.beta2, step))).sqrt() + options.eps;
    expected = expected * (1 - options.learning_rate * options.weight_decay) - options.learning_rate * corrected / root;
    CHECK((weight.to(at::kDouble) - expected).abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("50 steps on one batch: the loss falls, alike under all plans, worlds and policies") {
  constexpr int steps = 50;
  const auto alone = train(load_plan("tp"), 1, {}, steps);
  CHECK(alone.losses.back() < alone.losses.front() / 2);
  for (const auto* name : {"tp", "tp+sp", "tp-attention-sp-ffn"}) {
    for (const int world : {2, 4}) {
      for (const auto& policy : {SavedPolicy{}, SavedPolicy{.recompute = Recompute::block, .regather = false}}) {
        const auto losses = train(load_plan(name), world, policy, steps).losses;
        CAPTURE(name, world, static_cast<int>(policy.recompute));
        for (std::size_t i = 0; i < steps; ++i) CHECK(losses[i] == Approx(alone.losses[i]).epsilon(1e-4));
      }
    }
  }
}

TEST_CASE("in bf16 the loss falls too, with masters in fp32") {
  const auto losses = train(load_plan("tp+sp"), 2, {}, 50, at::kBFloat16).losses;
  CHECK(losses.back() < losses.front() / 2);
}
