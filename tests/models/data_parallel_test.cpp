// Replicas of tensor-parallel groups: the loss, the gradients and the weights are those of the whole batch on one
// replica, whatever is divided over them, and what is divided takes and sends what the formulas say.

#include "support/torch_and_catch.h"
// The line above comes first.
#include "support/replicas_on_ranks.h"
#include "support/thrown.h"

using namespace tpsp;

namespace {

constexpr double bound = 1e-4;  // of fp32

constexpr std::array all_stages{ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters};

struct Trained {
  std::vector<double> losses;
  std::vector<std::map<std::string, at::Tensor>> weights;    // of each tensor-parallel rank, by parameter
  std::vector<std::map<std::string, at::Tensor>> gradients;  // of the last step
};

// Without replicas.
Trained train(const LlamaConfig& config, const Plan& plan, int tp, const Input& input, int steps) {
  const Llama llama(config);
  const auto lowered = lower(plan, modules_of(config), tp);
  Trained result;
  result.weights.resize(static_cast<std::size_t>(tp));
  result.gradients.resize(static_cast<std::size_t>(tp));
  on_ranks(tp, [&](World& ranks, ProcessGroup& group) {
    const ResidentWeights weights(lowered, ranks.rank(), {.seed = test_seed});
    const auto model = llama.bind(lowered, weights);
    Gradients gradients(lowered, at::kFloat, at::kCPU);
    AdamW optimizer(weights);
    std::vector<double> losses;
    for (int i = 0; i < steps; ++i) {
      Saved saved;
      const Context context{.tp = group, .saved = &saved};
      gradients.start_step();
      losses.push_back(model->loss(input, 1 / static_cast<double>(input.tokens.numel()), context));
      model->backward(input, context, gradients);
      gradients.finish_step({.tp = group});
      optimizer.step(gradients);
    }
    const auto rank = static_cast<std::size_t>(ranks.rank());
    result.weights[rank] = weights.parameters();
    for (const auto& [name, weight] : weights.parameters()) result.gradients[rank][name] = gradients.reduced(name);
    if (rank == 0) result.losses = losses;
  });
  return result;
}

// Where a gradient is next to 0 its sign is rounding's, and the first step of AdamW follows the sign.
double largest_difference(const std::map<std::string, at::Tensor>& weights, const Trained& alone, std::size_t rank) {
  double largest = 0;
  for (const auto& [name, expected] : alone.weights[rank]) {
    const auto clear = alone.gradients[rank].at(name).abs() > 1e-6;
    const auto difference = ((weights.at(name) - expected).abs() * clear).max().item<double>();
    largest = std::isfinite(difference) ? std::max(largest, difference) : std::numeric_limits<double>::infinity();
  }
  return largest;
}

double worst_error(const std::vector<ReplicaResult>& results, const LlamaConfig& config, const Plan& plan,
                   const MeshSize& size, ZeroStage stage, const ReferenceStep& reference) {
  const auto lowered = lower(plan, modules_of(config), size.tp);
  return worst_gradient(reassembled(results, lowered, size, stage), lowered, reference).error;
}

/// Steps of llama-tiny on replicas, and how far they are from the reference.
struct TinySteps {
  TinySteps(const std::string& plan_name, const MeshSize& mesh, std::int64_t seq)
      : plan(load_plan(plan_name)),
        size(mesh),
        input(training_input(2 * mesh.dp, seq, config.vocabulary)),
        reference(reference_of(config, {.seed = test_seed}, input)) {}

  std::vector<ReplicaResult> run(const ReplicaOptions& options) const {
    return replicas_on_ranks(config, plan, size, input, options);
  }
  double error(const std::vector<ReplicaResult>& results, ZeroStage stage) const {
    return worst_error(results, config, plan, size, stage, reference);
  }

  LlamaConfig config = load_model("llama-tiny");
  Plan plan;
  MeshSize size;
  Input input;
  ReferenceStep reference;
};

}  // namespace

TEST_CASE("replicas have the loss, the gradients and the new weights of the whole batch") {
  const auto config = load_model("llama-tiny");
  const auto plan = load_plan(GENERATE("tp", "tp+sp", "tp-attention-sp-ffn"));
  const auto size =
      GENERATE(MeshSize{1, 1}, MeshSize{2, 1}, MeshSize{1, 2}, MeshSize{2, 2}, MeshSize{1, 3}, MeshSize{1, 4});
  const auto input = training_input(2 * size.dp, 7, config.vocabulary);
  const auto reference = reference_of(config, {.seed = test_seed}, input);
  const auto alone = train(config, plan, size.tp, input, 1);
  for (const auto stage : all_stages) {
    for (const auto recompute : {Recompute::none, Recompute::block}) {
      for (const std::int64_t micro_batches : {1, 2}) {
        CAPTURE(plan.name, size.tp, size.dp, to_string(stage), to_string(recompute), micro_batches);
        const auto results =
            replicas_on_ranks(config, plan, size, input,
                              {.stage = stage, .policy = {.recompute = recompute}, .micro_batches = micro_batches});
        CHECK(worst_error(results, config, plan, size, stage, reference) < bound);
        for (std::size_t rank = 0; rank < results.size(); ++rank) {
          CHECK(results[rank].losses.back() == Approx(reference.loss).epsilon(1e-5));
          CHECK(largest_difference(results[rank].weights, alone, rank % static_cast<std::size_t>(size.tp)) < 1e-5);
        }
      }
    }
  }
}

TEST_CASE("units that do not divide over the replicas are padded") {
  const auto config =
      parse_model("odd", "odd.yaml", "{hidden: 40, layers: 2, heads: 4, kv_heads: 2, ffn: 56, vocabulary: 37}");
  for (const auto& size : {MeshSize{1, 3}, MeshSize{2, 3}}) {
    const auto plan = load_plan("tp+sp");
    const auto input = training_input(3, 7, config.vocabulary);
    const auto reference = reference_of(config, {.seed = test_seed}, input);
    const auto alone = train(config, plan, size.tp, input, 1);
    for (const auto stage : all_stages) {
      CAPTURE(size.tp, to_string(stage));
      DryProcessGroup group(0, size.dp);
      const auto units = flat_units(lower(plan, modules_of(config), size.tp), {.group = group, .stage = stage});
      CHECK(std::any_of(units.begin(), units.end(), [](const auto& unit) { return unit.used < unit.size; }));
      const auto results = replicas_on_ranks(config, plan, size, input, {.stage = stage});
      CHECK(worst_error(results, config, plan, size, stage, reference) < bound);
      for (std::size_t rank = 0; rank < results.size(); ++rank) {
        CHECK(largest_difference(results[rank].weights, alone, rank % static_cast<std::size_t>(size.tp)) < 1e-5);
      }
    }
  }
}

TEST_CASE("units are what comes before the blocks, each block, and what comes after them") {
  const auto config = load_model("llama-tiny");
  const auto plan = lower(load_plan("tp"), modules_of(config), 1);
  DryProcessGroup group(0, 2);
  const auto names = [&](ZeroStage stage) {
    std::vector<std::string> all;
    for (const auto& unit : flat_units(plan, {.group = group, .stage = stage})) all.push_back(unit.name);
    return all;
  };
  CHECK(names(ZeroStage::parameters) == std::vector<std::string>{"tok_embeddings", "layers.0", "layers.1", "norm"});
  CHECK(names(ZeroStage::gradients) == names(ZeroStage::parameters));
  CHECK(names(ZeroStage::optimizer).size() == 1);
  CHECK(names(ZeroStage::none).size() == 1);
}

TEST_CASE("what is sent to other replicas is called gradients or parameters") {
  const auto config = load_model("llama-tiny");
  const Llama llama(config);
  const auto plan = lower(load_plan("tp"), modules_of(config), 1);
  DryProcessGroup tp(0, 1);
  DryProcessGroup dp(0, 2);
  EventLog log;
  const DataParallel replicas{.group = dp, .stage = ZeroStage::parameters, .events = &log};
  const FlatWeights weights(plan, 0, {.seed = test_seed, .device = at::kMeta}, replicas);
  Gradients gradients(plan, at::kFloat, at::kMeta, &replicas);
  const auto model = llama.bind(plan, weights);
  const auto tokens = at::empty({1, 8}, at::TensorOptions(at::kLong).device(at::kMeta));
  const Input input{.tokens = tokens, .targets = tokens};
  Saved saved;
  const Context context{.tp = tp, .saved = &saved};
  model->loss(input, 1, context);
  model->backward(input, context, gradients);
  std::vector<std::string> sent;
  for (const auto& entry : log.entries()) sent.push_back(entry.module);
  // Forward: embedding, two blocks, head. Backward: what comes next is gathered before what is left is reduced.
  const std::string weight = parameters_module;
  const std::string gradient = gradients_module;
  CHECK(sent == std::vector{weight, weight, weight, weight, weight, gradient, weight, gradient, gradient, gradient});
}

TEST_CASE("a unit that is gathered is let go when its parts have been updated") {
  const auto plan = lower(load_plan("tp"), modules_of(load_model("llama-tiny")), 1);
  bool gathered_once = false;
  bool is_new = false;
  on_mesh({1, 2}, [&](World& world, ProcessGroup&, ProcessGroup& dp) {
    FlatWeights weights(plan, 0, {.seed = test_seed}, {.group = dp, .stage = ZeroStage::parameters});
    const auto before = weights.get("norm").clone();
    weights.parameters().at("norm").fill_(5);
    const bool same = at::equal(weights.get("norm"), before);
    weights.share_updates();
    const bool updated = at::equal(weights.get("norm"), at::full_like(before, 5));
    if (world.rank() != 0) return;
    gathered_once = same;
    is_new = updated;
  });
  CHECK(gathered_once);
  CHECK(is_new);
}

TEST_CASE("replicas without memory in common, or with none reserved, have the same gradients") {
  const TinySteps steps("tp+sp", {2, 2}, 8);
  for (const auto stage : all_stages) {
    for (const bool apart : {false, true}) {
      CAPTURE(to_string(stage), apart);
      CHECK(steps.error(steps.run({.stage = stage, .reserves = false, .apart = apart}), stage) < bound);
    }
  }
}

TEST_CASE("all replicas hold the same, bit for bit, after some steps") {
  const auto config = load_model("llama-tiny");
  const auto input = training_input(4, 7, config.vocabulary);
  for (const auto stage : all_stages) {
    const auto results = replicas_on_ranks(config, load_plan("tp+sp"), {2, 2}, input, {.stage = stage, .steps = 3});
    for (const auto& [name, weight] : results[0].weights) {
      CAPTURE(to_string(stage), name);
      CHECK(at::equal(weight, results[2].weights.at(name)));
      CHECK(at::equal(results[1].weights.at(name), results[3].weights.at(name)));
    }
  }
}

TEST_CASE("20 steps have the losses of one replica, whatever is divided") {
  constexpr int steps = 20;
  const auto config = load_model("llama-tiny");
  const auto input = training_input(6, 9, config.vocabulary);
  const auto alone = train(config, load_plan("tp"), 1, input, steps).losses;
  CHECK(alone.back() < alone.front() * 0.9);
  for (const auto* name : {"tp", "tp+sp"}) {
    for (const auto& size : {MeshSize{1, 3}, MeshSize{2, 2}}) {
      for (const auto stage : all_stages) {
        const auto results = replicas_on_ranks(config, load_plan(name), size, input, {.stage = stage, .steps = steps});
        CAPTURE(name, size.tp, size.dp, to_string(stage));
        for (std::size_t i = 0; i < steps; ++i) {
          CHECK(results.front().losses[i] == Approx(alone[i]).epsilon(bound));
          CHECK(results.back().losses[i] == results.front().losses[i]);
        }
      }
    }
  }
}

TEST_CASE("in bf16 gradients are as near as bf16 allows, and the loss falls with masters in fp32") {
  const TinySteps steps("tp+sp", {2, 2}, 16);
  for (const auto stage : all_stages) {
    for (const std::int64_t micro_batches : {1, 2}) {
      ReplicaOptions options{.stage = stage, .dtype = at::kBFloat16, .micro_batches = micro_batches};
      CAPTURE(to_string(stage), micro_batches);
      CHECK(steps.error(steps.run(options), stage) < 3e-2);
      options.steps = 30;
      const auto losses = steps.run(options).front().losses;
      CHECK(losses.back() < losses.front() / 2);
    }
  }
}

TEST_CASE("without the sum over the replicas the gradients are wrong") {
  const TinySteps steps("tp", {1, 2}, 7);
  for (const auto stage : all_stages) {
    const auto results = steps.run({.stage = stage, .sums = false});
    CAPTURE(to_string(stage));
    CHECK(steps.error(results, stage) > 0.05);
    CHECK(results.front().losses.back() != Approx(steps.reference.loss).epsilon(0.05));
  }
}

TEST_CASE("sequences that do not divide over the replicas are refused") {
  const DryProcessGroup replicas(0, 2);
  const auto message = complaint_of([&] { replica_sequences(make_tokens(1, 3, 4, 10), replicas); });
  CHECK(message ==
        "batch: 3 sequences do not divide over 2 replicas (each takes equally many); use a batch that is a multiple of "
        "the replicas");
}

TEST_CASE("replicas take the sequences one after the other") {
  const auto all = make_tokens(1, 6, 4, 10);
  for (int rank = 0; rank < 3; ++rank) {
    CHECK(at::equal(replica_sequences(all, DryProcessGroup(rank, 3)), all.narrow(0, 2 * rank, 2)));
  }
}

namespace {

// A block's parameters on one of `tp` ranks, as tp and tp+sp shard them.
std::int64_t block_elements(const LlamaConfig& config, std::int64_t tp) {
  const auto kv = config.kv_heads * config.head_dim();
  const auto matrices = 2 * config.hidden * config.hidden + 2 * config.hidden * kv + 3 * config.hidden * config.ffn;
  return matrices / tp + 2 * config.hidden;
}

// Of the embedding, each block, and the last norm with the head.
std::vector<std::int64_t> unit_elements(const LlamaConfig& config, std::int64_t tp) {
  const auto words = (config.vocabulary + tp - 1) / tp;
  std::vector<std::int64_t> units(static_cast<std::size_t>(config.layers), block_elements(config, tp));
  units.insert(units.begin(), words * config.hidden);
  units.push_back(config.hidden + words * config.hidden);
  return units;
}

std::int64_t padded(std::int64_t elements, std::int64_t dp) { return (elements + dp - 1) / dp * dp; }

struct Sizes {
  std::int64_t all = 0;    // padded as one
  std::int64_t units = 0;  // each padded
  std::int64_t first = 0;  // unit
  std::int64_t blocks = 0;
  std::int64_t count = 0;
};

Sizes sizes_of(const LlamaConfig& config, const MeshSize& size) {
  Sizes sizes;
  for (const auto elements : unit_elements(config, size.tp)) {
    sizes.all += elements;
    sizes.units += padded(elements, size.dp);
    ++sizes.count;
  }
  sizes.all = padded(sizes.all, size.dp);
  sizes.first = padded(unit_elements(config, size.tp).front(), size.dp);
  sizes.blocks = config.layers * padded(block_elements(config, size.tp), size.dp);
  return sizes;
}

ReplicaResult counted(const LlamaConfig& config, const MeshSize& size, const ReplicaOptions& options) {
  const auto input = training_input(2 * size.dp, 8, config.vocabulary);
  return replicas_on_ranks(config, load_plan("tp"), size, input, options).front();
}

constexpr std::array meshes{MeshSize{1, 2}, MeshSize{2, 2}, MeshSize{1, 3}, MeshSize{1, 4}};

}  // namespace

TEST_CASE("each stage has its collectives over the replicas, and no others") {
  auto config = load_model("llama-tiny");
  config.layers = GENERATE(1, 3);
  for (const auto& size : meshes) {
    const auto e = static_cast<std::int64_t>(sizeof(float));
    const auto sent = [&](std::int64_t elements) { return (size.dp - 1) * elements * e / size.dp; };
    const auto sizes = sizes_of(config, size);
    for (const std::int64_t micro_batches : {1, 2}) {
      for (const auto recompute : {Recompute::none, Recompute::block}) {
        CAPTURE(size.tp, size.dp, micro_batches, to_string(recompute));
        const auto counts = [&](ZeroStage stage) {
          return counted(config, size,
                         {.stage = stage, .policy = {.recompute = recompute}, .micro_batches = micro_batches});
        };
        const auto none = counts(ZeroStage::none);
        CHECK(none.forward == CommCounts{});
        CHECK(none.backward == CommCounts{});
        CHECK(none.gradients == CommCounts{.all_reduces = 1, .bytes = 2 * sent(sizes.all)});  // of all gradients
        CHECK(none.parameters == CommCounts{});
        CHECK(none.loss.all_reduces == 1);

        const auto optimizer = counts(ZeroStage::optimizer);
        CHECK(optimizer.forward == CommCounts{});
        CHECK(optimizer.backward == CommCounts{});
        CHECK(optimizer.gradients == CommCounts{.reduce_scatters = 1, .bytes = sent(sizes.all)});
        CHECK(optimizer.parameters == CommCounts{.all_gathers = 1, .bytes = sent(sizes.all)});

        const auto gradients = counts(ZeroStage::gradients);
        CHECK(gradients.forward == CommCounts{});
        CHECK(gradients.backward == CommCounts{.reduce_scatters = sizes.count, .bytes = sent(sizes.units)});
        CHECK(gradients.gradients == CommCounts{});
        CHECK(gradients.parameters == CommCounts{.all_gathers = sizes.count, .bytes = sent(sizes.units)});

        // The last unit is still there when the backward begins, and the embedding's backward reads no weight.
        const auto parameters = counts(ZeroStage::parameters);
        CHECK(parameters.forward == CommCounts{.all_gathers = sizes.count, .bytes = sent(sizes.units)});
        CHECK(parameters.backward == CommCounts{.all_gathers = config.layers,
                                                .reduce_scatters = sizes.count,
                                                .bytes = sent(sizes.units) + sent(sizes.blocks)});
        CHECK(parameters.gradients == CommCounts{});
        CHECK(parameters.parameters == CommCounts{});
      }
    }
  }
}

TEST_CASE("a rank holds what its stage leaves it") {
  const auto config = load_model("llama-tiny");
  const auto norms = (2 * config.layers + 1) * config.hidden;
  for (const auto& size : meshes) {
    const auto sizes = sizes_of(config, size);
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      CAPTURE(size.tp, size.dp, at::toString(dtype));
      const std::int64_t e = dtype == at::kFloat ? 4 : 2;
      const std::int64_t moments = dtype == at::kFloat ? 8 : 12;  // and masters
      // Norms' gradients in fp32 until they are rounded to what is reduced.
      const auto whole_gradient = sizes.all * e + (dtype == at::kFloat ? 0 : 4 * norms);
      const auto holds = [&](ZeroStage stage) { return counted(config, size, {.stage = stage, .dtype = dtype}); };

      const auto none = holds(ZeroStage::none);
      CHECK(none.weights_bytes == sizes.all * e);
      CHECK(none.gradient_bytes == whole_gradient);
      CHECK(none.optimizer_bytes == sizes.all * moments);

      const auto optimizer = holds(ZeroStage::optimizer);
      CHECK(optimizer.weights_bytes == sizes.all * e);
      CHECK(optimizer.gradient_bytes == whole_gradient);
      CHECK(optimizer.optimizer_bytes == sizes.all / size.dp * moments);

      const auto gradients = holds(ZeroStage::gradients);
      CHECK(gradients.weights_bytes == sizes.units * e);
      CHECK(gradients.gradient_bytes == sizes.units / size.dp * e);
      CHECK(gradients.optimizer_bytes == sizes.units / size.dp * moments);

      const auto parameters = holds(ZeroStage::parameters);
      CHECK(parameters.weights_bytes == sizes.units / size.dp * e);
      CHECK(parameters.gradient_bytes == sizes.units / size.dp * e);
      CHECK(parameters.optimizer_bytes == sizes.units / size.dp * moments);
    }
  }
}
