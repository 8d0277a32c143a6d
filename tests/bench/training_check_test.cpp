// Does the check of a training step see what is wrong, wherever it is?
#include "tpsp/bench/training_check.h"

#include "support/training_on_ranks.h"

using namespace tpsp;

namespace {

/// A rank's step of llama-tiny with AdamW, right as it stands.
struct Step {
  Step(const LoweredPlan& plan, const Llama& llama, World& world, ProcessGroup& group)
      : plan_(plan),
        world_(world),
        weights(plan, world.rank(), recipe),
        gradients(plan, at::kFloat, at::kCPU),
        reference(llama, recipe, input, world),
        optimizer(weights, reference.optimizer()) {
    const auto model = llama.bind(plan, weights);
    loss = training_step({*model, weights, gradients, &optimizer}, input, {}, {.tp = group}).loss;
  }

  StepError error() const {
    return reference.error(
        {.loss = loss, .gradients = gradients, .updated = &weights, .plan = plan_, .rank = world_.rank()}, world_);
  }

 private:
  const LoweredPlan& plan_;
  World& world_;

 public:
  WeightRecipe recipe{.seed = test_seed};
  Input input = training_input(2, 9, 515);
  ResidentWeights weights;
  Gradients gradients;
  StepReference reference;
  AdamW optimizer;
  double loss = 0;
};

using Fault = std::function<void(Step&)>;

// The error that rank 0 sees where `fault` is done on one rank of two.
StepError error_with(const std::string& plan, int faulty, const Fault& fault) {
  const Llama llama(load_model("llama-tiny"));
  const auto lowered = lower(load_plan(plan), llama.modules(), 2);
  StepError result;
  on_ranks(2, [&](World& world, ProcessGroup& group) {
    Step step(lowered, llama, world, group);
    if (world.rank() == faulty) fault(step);
    const auto error = step.error();
    if (world.rank() == 0) result = error;
  });
  return result;
}

void spoil(const at::Tensor& tensor) {
  const auto largest = tensor.abs().max().item<double>();
  tensor.view({tensor.size(0), -1})[tensor.size(0) - 1][-1] += 0.5 * largest;
}

}  // namespace

TEST_CASE("a right step has a small error in loss, gradients and weights") {
  for (const auto* plan : {"tp", "tp+sp"}) {
    const auto error = error_with(plan, 1, [](Step&) {});
    CHECK(error.loss < 1e-6);
    CHECK(error.gradient < 1e-5);
    CHECK(error.weights < 1e-5);
  }
}

TEST_CASE("one wrong element of a gradient is seen on any rank, fused, row-wise or replicated, and named") {
  for (const int rank : {0, 1}) {
    for (const auto* module : {"layers.1.attention.wv", "layers.0.feed_forward.w2", "layers.1.feed_forward.w1", "norm",
                               "tok_embeddings", "layers.0.ffn_norm"}) {
      CAPTURE(rank, module);
      const auto error = error_with("tp+sp", rank, [&](Step& step) { spoil(step.gradients.of(module)); });
      CHECK(error.gradient > 0.1);
      CHECK(error.worst == module);
    }
  }
}

TEST_CASE("a gradient of padding is seen") {
  const auto error = error_with("tp", 1, [](Step& step) {
    const auto output = step.gradients.of("output");  // 515 words over two ranks: one row of padding
    output[output.size(0) - 1][0] = 1;
  });
  CHECK(error.gradient > 0.1);
  CHECK(error.worst == "output");
}

TEST_CASE("a wrong updated weight and a wrong loss are seen on any rank") {
  for (const int rank : {0, 1}) {
    const auto wrong_weight =
        error_with("tp+sp", rank, [](Step& step) { spoil(step.weights.parameter("layers.1.attention.wk")); });
    CHECK(wrong_weight.weights > 0.1);
    CHECK(wrong_weight.gradient < 1e-5);
    CHECK(error_with("tp", rank, [](Step& step) { step.loss *= 1.01; }).loss == Approx(0.01).epsilon(1e-3));
  }
}

TEST_CASE("a gradient that nothing has computed is infinitely wrong") {
  const auto error = error_with("tp", 1, [](Step& step) {
    step.gradients.of("layers.0.attention.wo").fill_(std::numeric_limits<double>::quiet_NaN());
  });
  CHECK(std::isinf(error.gradient));
  CHECK(error.worst == "layers.0.attention.wo");
}
