// What a preview of a training step predicts, against formulas and against a real step.
#include "tpsp/bench/step_preview.h"

#include "support/expected_collectives.h"
#include "support/replicas_on_ranks.h"
#include "support/thrown.h"
#include "tpsp/bench/largest_fit.h"
#include "tpsp/machine/memory.h"

using namespace tpsp;

namespace {

StepPreview preview_of(const LlamaConfig& config, const std::string& plan, int world, std::int64_t batch,
                       std::int64_t seq, const SavedPolicy& policy = {}, at::ScalarType dtype = at::kFloat) {
  return preview_step(Llama(config), lower(load_plan(plan), modules_of(config), world), batch, seq, dtype,
                      {.saved = policy});
}

LlamaConfig shapes_of(const std::string& model, std::int64_t layers) {
  auto config = load_model(model);
  config.layers = layers;
  return config;
}

// What one more layer saves.
std::int64_t saved_by_layer(const std::string& model, const std::string& plan, int world, std::int64_t batch,
                            std::int64_t seq, const SavedPolicy& policy = {}, at::ScalarType dtype = at::kFloat) {
  const auto saved = [&](std::int64_t layers) {
    return preview_of(shapes_of(model, layers), plan, world, batch, seq, policy, dtype).saved_bytes;
  };
  return saved(3) - saved(2);
}

KernelChoice all_three(GemmKernel kernel) {
  return [kernel](std::int64_t, std::int64_t) {
    GemmKernels kernels(kernel);
    kernels.input_gradient = kernels.weight_gradient = kernel;
    return kernels;
  };
}

// Those whose scratch is predicted: at::mm's in bf16 is not.
std::vector<GemmKernel> predicted_kernels(at::ScalarType dtype) {
  auto kernels = plain_kernels(dtype, at::kCPU);
  if (dtype != at::kFloat && kernels.size() > 1) std::erase(kernels, GemmKernel::plain);
  return kernels;
}

/// The peak of a real step over what lived before it, on one rank of two. No transport adds buffers of its own.
std::int64_t measured_peak(const LlamaConfig& config, const std::string& plan, std::int64_t seq,
                           const SavedPolicy& policy, at::ScalarType dtype, GemmKernel kernel) {
  const c10::InferenceMode no_gradients;
  at::set_num_threads(1);
  const auto lowered = lower(load_plan(plan), modules_of(config), 2);
  const auto input = training_input(2, seq, config.vocabulary);
  DryProcessGroup comm(0, 2);
  AllocationMeter meter(at::kCPU);
  ResidentWeights weights(lowered, 0, {.seed = 1, .dtype = dtype, .kernel = all_three(kernel)});
  Gradients gradients(lowered, dtype, at::kCPU);
  const Llama llama(config);
  const auto model = llama.bind(lowered, weights);
  meter.reset_peak();
  const auto before = meter.current_bytes();
  training_step({*model, weights, gradients}, input, {.saved = policy}, {.tp = comm});
  return meter.peak_bytes() - before;
}

}  // namespace

// Of h hidden, f feed-forward features, a heads, t ranks, n tokens: elements of the dtype and, in fp32, the logarithms
// of attention's sums. As docs/method.md derives it.
TEST_CASE("a layer saves what the formula says") {
  constexpr std::int64_t batch = 2;
  constexpr std::int64_t seq = 256;
  constexpr std::int64_t n = batch * seq;
  const auto config = load_model("llama-7b");
  const auto h = config.hidden;
  const auto f = config.ffn;
  const auto a = config.heads;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto e = static_cast<std::int64_t>(c10::elementSize(dtype));
    for (const int t : {1, 2, 4, 8}) {
      const auto saved = [&](const std::string& plan, const SavedPolicy& policy) {
        return saved_by_layer("llama-7b", plan, t, batch, seq, policy, dtype);
      };
      const auto sums = 4 * n * a / t;
      const auto in_both = n * (4 * h + 2 * f) / t * e + sums;
      CAPTURE(at::toString(dtype), t);
      CHECK(saved("tp", {}) == n * 2 * h * e + in_both);
      CHECK(saved("tp+sp", {}) == n * 2 * h / t * e + in_both);
      CHECK(saved("tp", {.regather = false}) == n * 4 * h * e + in_both);
      CHECK(saved("tp+sp", {.regather = false}) == n * (2 * h / t + 2 * h) * e + in_both);
      CHECK(saved("tp+sp", {.recompute = Recompute::attention}) == saved("tp+sp", {}) - n * h / t * e - sums);
      CHECK(saved("tp", {.recompute = Recompute::block}) == n * h * e);
      CHECK(saved("tp+sp", {.recompute = Recompute::block}) == n * h / t * e);
    }
  }
}

TEST_CASE("what a step is predicted to save and to send is what it saves and sends") {
  const auto config = load_model("llama-tiny");
  const auto* const name = GENERATE("tp", "tp+sp", "tp-attention-sp-ffn");
  const auto policy = GENERATE(from_range(all_policies()));
  for (const int world : {1, 2, 4}) {
    const auto predicted = preview_of(config, name, world, 2, 7, policy);
    const auto input = training_input(2, 7, config.vocabulary);
    const StepOptions options{.policy = policy, .reserves = false};
    const auto measured = step_on_ranks(config, load_plan(name), world, input, options).front();
    CAPTURE(name, world, static_cast<int>(policy.recompute), policy.regather);
    CHECK(predicted.saved_bytes == measured.saved_bytes);
    CHECK(predicted.forward == measured.forward);
    CHECK(predicted.backward == measured.backward);
    CHECK(predicted.gradients == measured.finish);
  }
}

TEST_CASE("gradients take what the weights take, and norms' are in fp32") {
  const auto config = load_model("llama-tiny");
  const auto norms = (2 * config.layers + 1) * config.hidden;
  const auto fp32 = preview_of(config, "tp", 2, 1, 8);
  CHECK(fp32.gradient_bytes == fp32.weights_bytes);
  const auto bf16 = preview_of(config, "tp", 2, 1, 8, {}, at::kBFloat16);
  CHECK(bf16.gradient_bytes == bf16.weights_bytes + 2 * norms);
}

TEST_CASE("sequence parallelism and recomputation lower the peak of a step") {
  const auto config = shapes_of("llama-7b", 8);
  const auto peak = [&](const std::string& plan, const SavedPolicy& policy = {}) {
    return preview_of(config, plan, 8, 2, 1024, policy).peak_bytes;
  };
  CHECK(peak("tp+sp") < peak("tp"));
  CHECK(peak("tp+sp", {.recompute = Recompute::block}) < peak("tp+sp", {.recompute = Recompute::attention}));
  CHECK(peak("tp+sp", {.recompute = Recompute::attention}) < peak("tp+sp"));
}

TEST_CASE("the predicted peak is the peak of a real step") {
  const auto* const kv_heads = GENERATE("4", "2");
  const auto config = parse_model(
      "mid", "mid.yaml",
      "{hidden: 256, layers: 3, heads: 4, ffn: 704, vocabulary: 515, kv_heads: " + std::string(kv_heads) + "}");
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto* const name = GENERATE("tp", "tp+sp");
  const auto policy = GENERATE(from_range(all_policies()));
  at::set_num_threads(1);  // of the preview too: oneDNN's scratch grows with them
  for (const auto kernel : predicted_kernels(dtype)) {
    const auto predicted = preview_step(Llama(config), lower(load_plan(name), modules_of(config), 2), 2, 128, dtype,
                                        {.saved = policy}, {.kernel = all_three(kernel)})
                               .peak_bytes;
    const auto measured = measured_peak(config, name, 128, policy, dtype, kernel);
    CAPTURE(kv_heads, name, at::toString(dtype), to_string(kernel), static_cast<int>(policy.recompute),
            policy.regather);
    // LibTorch's attention multiplies bf16 by oneDNN, which takes scratch for one block.
    const std::int64_t scratch = dtype == at::kFloat ? 0 : 128 << 10;
    CHECK(predicted <= measured);
    CHECK(predicted >= measured - scratch);
  }
}

TEST_CASE("AdamW has two moments in fp32, and masters of bf16 weights") {
  const auto config = load_model("llama-tiny");
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const auto step = preview_step(Llama(config), lower(load_plan("tp"), modules_of(config), 2), 1, 8, dtype,
                                   {.saved = {}, .micro_batches = 1, .adamw = true});
    const auto elements = step.weights_bytes / static_cast<std::int64_t>(c10::elementSize(dtype));
    CHECK(step.optimizer_bytes == elements * (dtype == at::kFloat ? 8 : 12));
  }
}

namespace {

CommCounts all_of(const ReplicaResult& result) {
  CommCounts all;
  for (const auto& part : {result.forward, result.backward, result.gradients, result.parameters, result.loss})
    all += part;
  return all;
}

}  // namespace

TEST_CASE("what a replica is predicted to hold and to send is what it holds and sends") {
  const auto config = load_model("llama-tiny");
  const auto stage = GENERATE(ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters);
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const auto recompute = GENERATE(Recompute::none, Recompute::block);
  for (const auto* name : {"tp", "tp+sp"}) {
    for (const auto& size : {MeshSize{1, 2}, MeshSize{2, 2}, MeshSize{1, 3}, MeshSize{1, 4}}) {
      const auto batch = 2 * size.dp;
      const StepSettings settings{.saved = {.recompute = recompute}, .adamw = true, .dp = size.dp, .shard = stage};
      const auto predicted =
          preview_step(Llama(config), lower(load_plan(name), modules_of(config), size.tp), batch, 7, dtype, settings);
      const auto measured =
          replicas_on_ranks(config, load_plan(name), size, training_input(batch, 7, config.vocabulary),
                            {.stage = stage, .policy = settings.saved, .dtype = dtype})
              .front();
      CAPTURE(name, size.tp, size.dp, to_string(stage), at::toString(dtype));
      CHECK(predicted.weights_bytes == measured.weights_bytes);
      CHECK(predicted.gradient_bytes == measured.gradient_bytes);
      CHECK(predicted.optimizer_bytes == measured.optimizer_bytes);
      CHECK(predicted.replicas == all_of(measured));
    }
  }
}

TEST_CASE("the predicted peak of a replica is the peak of a real step but for scratch") {
  const auto config =
      parse_model("mid", "mid.yaml", "{hidden: 256, layers: 3, heads: 4, ffn: 704, vocabulary: 515, kv_heads: 4}");
  const auto lowered = lower(load_plan("tp+sp"), modules_of(config), 2);
  const auto stage = GENERATE(ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters);
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16);
  const c10::InferenceMode no_gradients;
  at::set_num_threads(1);
  const auto input = training_input(2, 128, config.vocabulary);
  DryProcessGroup tp(0, 2);
  DryProcessGroup dp(0, 4);
  const DataParallel replicas{.group = dp, .stage = stage};
  AllocationMeter meter(at::kCPU);
  const auto kernel = all_three(predicted_kernels(dtype).front());
  FlatWeights weights(lowered, 0, {.seed = 1, .dtype = dtype, .kernel = kernel}, replicas);
  Gradients gradients(lowered, dtype, at::kCPU, &replicas);
  const Llama llama(config);
  const auto model = llama.bind(lowered, weights);
  meter.reset_peak();
  const auto before = meter.current_bytes();
  {
    Saved saved;
    const Context context{.tp = tp, .saved = &saved};
    model->loss(input, 1, context);
    model->backward(input, context, gradients);
  }
  gradients.finish_step({.tp = tp});
  weights.release();
  const auto measured = meter.peak_bytes() - before;
  const auto predicted = preview_step(llama, lowered, 8, 128, dtype,
                                      {.saved = {}, .adamw = false, .dp = 4, .shard = stage}, {.kernel = kernel})
                             .peak_bytes;
  CAPTURE(to_string(stage), at::toString(dtype));
  CHECK(predicted <= measured);
  CHECK(static_cast<double>(predicted) == Approx(static_cast<double>(measured)).epsilon(0.05));
}

TEST_CASE("a preview refuses a batch that does not divide over the replicas") {
  const auto config = load_model("llama-tiny");
  const auto plan = lower(load_plan("tp"), modules_of(config), 1);
  const auto message = complaint_of([&] {
    preview_step(Llama(config), plan, 4, 8, at::kFloat, {.saved = {}, .micro_batches = 1, .adamw = false, .dp = 3});
  });
  CHECK_THAT(message, Catch::StartsWith("batch: 4 sequences do not divide over 3 replicas"));
}

TEST_CASE("each stage of ZeRO leaves a rank less of llama-7b on 8 replicas of 2 ranks") {
  const auto config = load_model("llama-7b");
  const auto plan = lower(load_plan("tp+sp"), modules_of(config), 2);
  const auto held = [&](ZeroStage stage, int dp) {
    const auto step = preview_step(Llama(config), plan, 8, 128, at::kBFloat16,
                                   {.saved = {}, .adamw = true, .dp = dp, .shard = stage});
    return static_cast<double>(step.weights_bytes + step.gradient_bytes + step.optimizer_bytes);
  };
  // Of each parameter, in bytes: weight 2, gradient 2, master and moments 12.
  const auto all = held(ZeroStage::none, 1);
  CHECK(held(ZeroStage::none, 8) / all == Approx(1).epsilon(1e-3));
  CHECK(held(ZeroStage::optimizer, 8) / all == Approx((4 + 12 / 8.0) / 16).epsilon(1e-3));
  CHECK(held(ZeroStage::gradients, 8) / all == Approx((2 + 14 / 8.0) / 16).epsilon(1e-3));
  CHECK(held(ZeroStage::parameters, 8) / all == Approx(1 / 8.0).epsilon(1e-3));
}

TEST_CASE("of what is divided a rank has one unit's weights and gradients at a time") {
  const auto config = shapes_of("llama-7b", 8);
  const auto plan = lower(load_plan("tp+sp"), modules_of(config), 2);
  constexpr int dp = 8;
  const auto peak = [&](ZeroStage stage) {
    return preview_step(Llama(config), plan, 8, 128, at::kBFloat16,
                        {.saved = {}, .micro_batches = 1, .adamw = false, .dp = dp, .shard = stage})
        .peak_bytes;
  };
  const auto block = 2 * (4 * config.hidden * config.hidden + 3 * config.hidden * config.ffn) / 2;
  const auto with_gradient = peak(ZeroStage::gradients) - peak(ZeroStage::none);
  CHECK(with_gradient > 0);
  CHECK(with_gradient < block + 2 * block / dp);
  const auto with_weights = peak(ZeroStage::parameters) - peak(ZeroStage::none);
  CHECK(with_weights > with_gradient);
  CHECK(with_weights < 2 * (block + 2 * block / dp));
}

TEST_CASE("the largest that fits is found, evenly growing or not, in few calls where it is") {
  const auto search = [](std::int64_t limit, std::int64_t most, auto bytes) {
    int calls = 0;
    const auto found = largest_fit(limit, most, [&](std::int64_t n) {
      ++calls;
      REQUIRE((n >= 1 && n <= most));
      return static_cast<std::int64_t>(bytes(n));
    });
    return std::pair(found, calls);
  };
  const auto by_trial = [](std::int64_t limit, std::int64_t most, auto bytes) {
    std::int64_t n = 0;
    while (n < most && bytes(n + 1) <= limit) ++n;
    return n;
  };
  const auto evenly = [](std::int64_t n) { return 1000 + 37 * n; };
  const auto in_steps = [](std::int64_t n) { return std::max<std::int64_t>(5000, 1000 + 37 * n) + n / 7 * 100; };
  const auto square = [](std::int64_t n) { return n * n; };
  const auto root = [](std::int64_t n) { return static_cast<std::int64_t>(100 * std::sqrt(static_cast<double>(n))); };
  const auto constant = [](std::int64_t) { return std::int64_t{7}; };
  for (const std::int64_t limit : {0, 1, 6, 7, 999, 1037, 1038, 5000, 5123, 40000}) {
    for (const std::int64_t most : {1, 2, 3, 50, 700}) {
      CAPTURE(limit, most);
      CHECK(search(limit, most, evenly).first == by_trial(limit, most, evenly));
      CHECK(search(limit, most, in_steps).first == by_trial(limit, most, in_steps));
      CHECK(search(limit, most, square).first == by_trial(limit, most, square));
      CHECK(search(limit, most, root).first == by_trial(limit, most, root));
      CHECK(search(limit, most, constant).first == by_trial(limit, most, constant));
    }
  }
  CHECK(search(1'000'000'000, 65536 * 1024, evenly).second <= 4);
}
