// An architecture that the library knows nothing of: a stack of MLPs. Sweep, preview, profile, check and lint serve it.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <atomic>

#include "bench/small_sweeps.h"
#include "tpsp/nn/layers.h"

using namespace tpsp;

namespace {

constexpr std::int64_t hidden = 32;
constexpr std::int64_t inner = 48;
constexpr std::int64_t blocks = 3;
constexpr std::int64_t words = 37;
constexpr double eps = 1e-5;

class MlpStackModel final : public Model {
 public:
  MlpStackModel(const LoweredPlan& plan, const WeightSource& weights) : plan_(plan), weights_(weights) {}

  Sharded forward(const Input& input, const Context& context) const override {
    const nn::Layers layers(plan_, weights_, context);
    auto stream = layers.embedding(input.tokens, "words");
    std::optional<nn::Delta> delta;
    for (std::int64_t i = 0; i < blocks; ++i) {
      const auto block = fmt::format("stack.{}.", i);
      const auto up = block + "up";
      const auto down = block + "down";
      auto value = layers.add_norm(stream, std::move(delta), block + "norm", up, eps);
      value = layers.leave(layers.gemm(value, up), up, Use::write);
      at::relu_(value.local);
      delta = {.value = layers.gemm(layers.arrive(std::move(value), down), down), .module = down};
    }
    return layers.logits(layers.add_norm(stream, std::move(delta), "last_norm", "head", eps), "head");
  }

 private:
  const LoweredPlan& plan_;
  const WeightSource& weights_;
};

class MlpStack final : public Architecture {
 public:
  std::string name() const override { return "mlp-stack"; }
  std::string shapes() const override { return fmt::format("hidden {}, inner {}", hidden, inner); }
  std::int64_t layers() const override { return blocks; }
  std::int64_t vocabulary() const override { return words; }

  std::vector<Module> modules() const override {
    const WeightDim h{.unit = "hidden", .size = hidden, .units = hidden};
    const WeightDim f{.unit = "inner features", .size = inner, .units = inner};
    const WeightDim v{.unit = "words", .size = words, .units = words, .may_be_padded = true};
    std::vector<Module> all{{.name = "words", .kind = ModuleKind::embedding, .dims = {v, h}}};
    for (std::int64_t i = 0; i < blocks; ++i) {
      const auto block = fmt::format("stack.{}.", i);
      all.push_back({.name = block + "norm", .kind = ModuleKind::norm, .dims = {h}, .role = "norm"});
      all.push_back({.name = block + "up", .kind = ModuleKind::linear, .dims = {f, h}, .role = "up"});
      all.push_back({.name = block + "down", .kind = ModuleKind::linear, .dims = {h, f}, .role = "down"});
    }
    all.push_back({.name = "last_norm", .kind = ModuleKind::norm, .dims = {h}});
    all.push_back({.name = "head", .kind = ModuleKind::linear, .dims = {v, h}});
    return all;
  }

  RoundingFacts rounding(std::int64_t) const override { return {.sublayers = blocks + 1, .longest_sum = inner}; }

  std::unique_ptr<Model> bind(const LoweredPlan& plan, const WeightSource& weights) const override {
    if (weights.get("words").is_meta()) ++previews;
    return std::make_unique<MlpStackModel>(plan, weights);
  }

  at::Tensor reference_logits(const WeightRecipe& recipe, const at::Tensor& tokens) const override {
    const auto all = modules();
    auto weight = [&, next = std::size_t{0}]() mutable { return make_weight(all.at(next++), {}, recipe); };
    auto stream = at::embedding(weight(), tokens);
    for (std::int64_t i = 0; i < blocks; ++i) {
      const auto normed = at::rms_norm(stream, {hidden}, weight(), eps);
      const auto raised = at::relu(at::linear(normed, weight()));
      stream = stream + at::linear(raised, weight());
    }
    const auto normed = at::rms_norm(stream, {hidden}, weight(), eps);
    return at::linear(normed, weight());
  }
  std::int64_t reference_extra_bytes(std::int64_t, std::int64_t) const override { return 0; }

  std::string hugging_face_name(const std::string& module) const override { return module; }
  std::string hugging_face_config(at::ScalarType) const override { return "{}"; }

  mutable std::atomic<int> previews = 0;
};

const std::string tensor_parallel =
    "words rowwise\n"
    "stack\\.\\d+\\.up colwise\n"
    "stack\\.\\d+\\.down rowwise\n"
    ".*norm replicate\n"
    "head colwise out=replicate\n";
const std::string sequence_parallel =
    "words rowwise out=shard(seq)\n"
    "stack\\.\\d+\\.up colwise\n"
    "stack\\.\\d+\\.down rowwise out=shard(seq)\n"
    ".*norm sequence\n"
    "head colwise out=replicate\n";

Sweep sweep_of_stack(const std::shared_ptr<const MlpStack>& stack, int world) {
  Sweep sweep;
  sweep.model = stack;
  for (const auto& [name, text] :
       {std::pair("stack-tp", tensor_parallel), std::pair("stack-tp+sp", sequence_parallel)}) {
    sweep.plans.push_back(lower(parse_plan(name, "stack.rules", text), stack->modules(), world));
  }
  sweep.seqs = {5, 16};
  sweep.protocol = {.warmup = 1, .reps = 2};
  return sweep;
}

}  // namespace

TEST_CASE("a second architecture is swept, profiled and checked under both plans") {
  const int world = GENERATE(1, 2, 3);
  const auto stack = std::make_shared<const MlpStack>();
  const auto rows = rows_of(sweep_of_stack(stack, world), world);
  REQUIRE(rows.size() == 4);
  for (const auto& row : rows) {
    INFO(world << " ranks, " << row.plan << " at seq " << row.seq << ": " << row.message);
    CHECK(row.status == Status::ok);
    CHECK(row.check == Check::pass);
    CHECK(row.model == "mlp-stack");
    CHECK(row.layers == blocks);
    CHECK(row.gemm_s.value() > 0);
    CHECK(row.before_head_bytes.value() > 0);
    const auto sublayers = world == 1 ? 0 : blocks + 1;
    const bool sp = row.plan == "stack-tp+sp";
    CHECK(row.all_reduces == (sp ? 0 : sublayers));
    CHECK(row.reduce_scatters == (sp ? sublayers : 0));
  }
}

TEST_CASE("a plan and length is previewed once in a sweep, and so is the reference of a length") {
  const auto stack = std::make_shared<const MlpStack>();
  auto sweep = sweep_of_stack(stack, 1);
  REQUIRE(rows_of(sweep, 1).size() == 4);
  CHECK(stack->previews == 2 * 2 + 2);
}

TEST_CASE("lint and suggestions know a second architecture by its modules alone") {
  const auto modules = MlpStack().modules();
  const auto plan = lower(parse_plan("odd", "odd.rules", "stack\\.\\d+\\.upp colwise\nhead colwise\n"), modules, 2);
  std::string findings;
  for (const auto& finding : plan.findings) findings += finding.text + "\n";
  CHECK_THAT(findings, Catch::Contains("did you mean 'stack\\.\\d+\\.up'?"));
  CHECK_THAT(findings, Catch::Contains("no rule touches stack.0.down (and 2 more)"));
}
