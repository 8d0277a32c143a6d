#include "mutation/cases.h"

#include <fmt/format.h>

#include <atomic>
#include <map>

#include "support/forward_on_ranks.h"
#include "support/replicas_on_ranks.h"
#include "tpsp/bench/check.h"
#include "tpsp/bench/step_preview.h"
#include "tpsp/bench/training_check.h"

namespace tpsp {
namespace {

/// What the ranks of one run ended with.
struct Ending {
  std::vector<std::vector<at::Tensor>> results;  ///< of each rank what is checked
  double error = 0;                              ///< the check's, over its bound
  int calls = 0;                                 ///< of collectives in one forward
};

at::Tensor tokens_of(std::uint64_t seed, const MutationCase& which) {
  return make_tokens(seed, which.batch, which.seq, mutation_model().vocabulary);
}

int calls_of(const CommCounts& counts) {
  return static_cast<int>(counts.all_reduces + counts.all_gathers + counts.reduce_scatters);
}

Ending run_forward(const MutationCase& which, const Injection& injection, int calls_of_a_forward) {
  const auto& config = mutation_model();
  const auto plan = lower(which.plan, modules_of(config), which.world);
  const auto timed = tokens_of(5, which);
  const auto checked = tokens_of(6, which);
  Ending ending{.results = std::vector<std::vector<at::Tensor>>(static_cast<std::size_t>(which.world))};
  on_ranks(which.world, [&](World& ranks, ProcessGroup& transport) {
    // A batch of three has no memory in common, so that collectives copy.
    if (which.batch < 3) reserve_for(transport, config, plan, timed, at::kFloat);
    const auto faulty = injection.process_group ? injection.process_group(transport, calls_of_a_forward) : nullptr;
    EventCounter counter(which.world);
    const auto weights = injection.weights
                             ? injection.weights(plan, ranks.rank())
                             : std::make_unique<ResidentWeights>(plan, ranks.rank(), WeightRecipe{.seed = test_seed});
    const RankModel model(config, plan, *weights, faulty ? *faulty : transport, &counter);
    model.logits(timed);
    const auto calls = calls_of(counter.counts());
    const auto logits = model.logits(checked);
    const WeightRecipe recipe{.seed = test_seed};
    const auto error = Reference(Llama(config), recipe, checked, ranks).error(logits, ranks);
    ending.results[static_cast<std::size_t>(ranks.rank())] = {logits.clone()};
    if (ranks.rank() != 0) return;
    ending.error = error.max_rel / error_bound(Llama(config), which.seq, which.world, at::kFloat);
    ending.calls = calls;
  });
  return ending;
}

Input text_of(std::uint64_t seed, const MutationCase& which) {
  return training_input(make_tokens(seed, which.batch, which.seq + 1, mutation_model().vocabulary));
}

// The loss, and every gradient and updated weight that this rank has or gathers.
std::vector<at::Tensor> results_of(double loss, const LoweredPlan& plan, const Gradients& gradients,
                                   const TrainableWeights& weights) {
  std::vector<at::Tensor> results{at::full({1}, loss, at::kDouble)};
  for (const auto& module : plan.modules) {
    if (module.kind == ModuleKind::container) continue;
    results.push_back(gradients.of(module.name).clone());
    results.push_back(weights.parameter(module.name).clone());
  }
  return results;
}

// As a sweep reserves it. A batch of three has no memory in common, so that collectives copy.
void reserve_for_step(const MutationCase& which, const LoweredPlan& plan, ProcessGroup& tp, ProcessGroup& dp) {
  if (which.batch == 3) return;
  const auto step = preview_step(Llama(mutation_model()), plan, which.batch, which.seq, at::kFloat, *which.training,
                                 {.shares_memory = tp.shares_memory(), .replicas_share_memory = dp.shares_memory()});
  tp.reserve(step.arena);
  dp.reserve(step.replicas_arena);
}

Ending run_step(const MutationCase& which) {
  const Llama llama(mutation_model());
  const auto plan = lower(which.plan, llama.modules(), which.world);
  const auto& settings = *which.training;
  const auto checked = text_of(6, which);
  Ending ending{.results = std::vector<std::vector<at::Tensor>>(static_cast<std::size_t>(which.world * settings.dp))};
  on_mesh({.tp = which.world, .dp = settings.dp}, [&](World& world, ProcessGroup& tp, ProcessGroup& dp) {
    reserve_for_step(which, plan, tp, dp);
    const DataParallel all{.group = dp, .stage = settings.shard};
    const auto* const replicas = settings.dp > 1 ? &all : nullptr;
    const WeightRecipe recipe{.seed = test_seed};
    const auto weights = make_trainable_weights(plan, tp.rank(), recipe, replicas);
    Gradients gradients(plan, at::kFloat, at::kCPU, replicas);
    const StepReference reference(llama, recipe, checked, world);
    AdamW optimizer(*weights, reference.optimizer());
    const auto model = llama.bind(plan, *weights);
    Trainee trainee{*model, *weights, gradients, nullptr, replicas};
    const auto step = [&](const Input& text) {
      return training_step(trainee, share_of(text, replicas), settings, {.tp = tp}).loss;
    };
    step(text_of(5, which));  // without an optimizer, so that the weights are the first ones after it
    gradients.spoil();
    trainee.optimizer = &optimizer;
    const auto loss = step(checked);
    const auto error = reference.error(
        {.loss = loss, .gradients = gradients, .updated = weights.get(), .plan = plan, .rank = tp.rank()}, world);
    ending.results[static_cast<std::size_t>(world.rank())] = results_of(loss, plan, gradients, *weights);
    if (world.rank() != 0) return;
    ending.error = std::max({error.loss, error.gradient, error.weights}) /
                   step_error_bound(llama, which.seq, world.size(), at::kFloat);
  });
  return ending;
}

Ending run(const MutationCase& which, const Injection& injection, int calls_of_a_forward = 1) {
  return which.training ? run_step(which) : run_forward(which, injection, calls_of_a_forward);
}

bool same_bits(const Ending& a, const Ending& b) {
  const auto alike = [](const std::vector<at::Tensor>& x, const std::vector<at::Tensor>& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                      [](const at::Tensor& one, const at::Tensor& other) { return at::equal(one, other); });
  };
  return std::equal(a.results.begin(), a.results.end(), b.results.begin(), b.results.end(), alike);
}

const Ending& unmutated(const MutationCase& which) {
  static std::map<std::string, Ending> endings;
  const auto [place, is_new] = endings.try_emplace(which.name());
  if (is_new) place->second = run(which, {});
  return place->second;
}

Plan with_rules(const std::string& base, const std::string& name, const std::string& rules) {
  auto plan = load_plan(base);
  plan.name = name;
  for (const auto& rule : inline_plan(rules).rules) plan.rules.push_back(rule);
  return plan;
}

std::vector<Plan> plans() {
  std::vector<Plan> all;
  for (const auto* name : {"tp", "tp+sp", "tp-attention-sp-ffn", "tp-sharded-logits", "ffn-only", "attention-only"}) {
    all.push_back(load_plan(name));
  }
  all.push_back(with_rules("tp", "hidden-sharded-embedding", "  - {match: 'tok_embeddings', style: colwise}\n"));
  all.push_back(with_rules("tp", "replicated-keys", "  - {match: '.*\\.(wk|wv)', style: replicate}\n"));
  all.push_back(with_rules("tp+sp", "rowwise-head", "  - {match: 'output', style: rowwise, out: partial}\n"));
  all.push_back(with_rules("tp", "sequence-projections", "  - {match: '.*\\.(wq|wk|wv|w1|w3)', style: sequence}\n"));
  all.push_back(with_rules("tp+sp", "deferred-sums",
                           "  - {match: 'tok_embeddings', style: rowwise, out: partial}\n"
                           "  - {match: '.*\\.w1', style: replicate}\n"
                           "  - {match: '.*\\.wo', style: rowwise, out: partial}\n"));
  all.push_back(with_rules("tp", "gathered-heads",
                           "  - {match: '.*\\.(wq|wk|wv)', style: colwise, out: replicate}\n"
                           "  - {match: '.*\\.w1', style: rowwise, out: partial}\n"));
  return all;
}

}  // namespace

std::string MutationCase::name() const {
  auto name = fmt::format("{} batch {} seq {} ranks {}", plan.name, batch, seq, world);
  if (training) name += fmt::format(" step {}", to_string(*training));
  return name;
}

std::vector<MutationCase> forward_cases() {
  std::vector<MutationCase> cases;
  for (const auto& plan : plans()) {
    for (const std::int64_t batch : {1, 2, 3}) {
      for (const int world : {2, 3, 4}) cases.push_back({.plan = plan, .batch = batch, .world = world});
    }
  }
  cases.push_back({.plan = load_plan("tp"), .batch = 2, .world = 2, .seq = 150});
  return cases;
}

std::vector<MutationCase> step_cases() {
  std::vector<MutationCase> cases;
  const auto add = [&](const Plan& plan, std::int64_t batch, int world, const StepSettings& settings) {
    cases.push_back({.plan = plan, .batch = batch, .world = world, .training = settings});
  };
  for (const auto& plan : plans()) {
    for (const auto& saved : all_policies()) {
      add(plan, 2, 2, {.saved = saved, .micro_batches = 2, .adamw = true});
      add(plan, 3, 3, {.saved = saved, .adamw = true});
    }
  }
  for (const auto* plan : {"tp", "tp+sp"}) {
    for (const auto shard : {ZeroStage::none, ZeroStage::optimizer, ZeroStage::gradients, ZeroStage::parameters}) {
      for (const int world : {1, 2}) {
        add(load_plan(plan), 4, world, {.micro_batches = 2, .adamw = true, .dp = 2, .shard = shard});
        add(load_plan(plan), 3, world, {.adamw = true, .dp = 3, .shard = shard});
      }
    }
  }
  return cases;
}

const LlamaConfig& mutation_model() {
  static const auto model =
      parse_model("mutated", "mutated.yaml",
                  "{hidden: 96, layers: 2, heads: 24, kv_heads: 12, ffn: 192, vocabulary: 515, norm_eps: 0.001}");
  return model;
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::unchanged: return "unchanged";
    case Verdict::refused: return "refused";
    case Verdict::caught: return "caught";
    case Verdict::survived: return "survived";
  }
  return "?";
}

Trial try_mutation(const MutationCase& which, const Injection& injection) {
  const auto& expected = unmutated(which);
  if (injection.activate) injection.activate();
  try {
    const auto mutated = run(which, injection, expected.calls);
    if (mutated.error > 1) return {.verdict = Verdict::caught, .error = mutated.error};
    return {.verdict = same_bits(expected, mutated) ? Verdict::unchanged : Verdict::survived, .error = mutated.error};
  } catch (const std::exception& refusal) {
    return {.verdict = Verdict::refused, .message = refusal.what()};
  }
}

}  // namespace tpsp
