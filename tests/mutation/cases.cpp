#include "mutation/cases.h"

#include <fmt/format.h>

#include <atomic>
#include <map>

#include "support/forward_on_ranks.h"
#include "tpsp/bench/check.h"

namespace tpsp {
namespace {

/// What the ranks of one run ended with.
struct Ending {
  std::vector<at::Tensor> logits;
  LogitsError error{};
  int calls = 0;  ///< of collectives in one forward
};

at::Tensor tokens_of(std::uint64_t seed, const MutationCase& which) {
  return make_tokens(seed, which.batch, which.seq, mutation_model().vocabulary);
}

int calls_of(const CommCounts& counts) {
  return static_cast<int>(counts.all_reduces + counts.all_gathers + counts.reduce_scatters);
}

Ending run(const MutationCase& which, const Injection& injection, int calls_of_a_forward = 1) {
  const auto& config = mutation_model();
  const auto plan = lower(which.plan, modules_of(config), which.world);
  const auto timed = tokens_of(5, which);
  const auto checked = tokens_of(6, which);
  Ending ending{.logits = std::vector<at::Tensor>(static_cast<std::size_t>(which.world))};
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
    ending.logits[static_cast<std::size_t>(ranks.rank())] = logits.clone();
    if (ranks.rank() != 0) return;
    ending.error = error;
    ending.calls = calls;
  });
  return ending;
}

bool same_bits(const Ending& a, const Ending& b) {
  return std::equal(a.logits.begin(), a.logits.end(), b.logits.begin(),
                    [](const at::Tensor& x, const at::Tensor& y) { return at::equal(x, y); });
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
  return fmt::format("{} batch {} seq {} ranks {}", plan.name, batch, seq, world);
}

std::vector<MutationCase> mutation_cases() {
  std::vector<MutationCase> cases;
  for (const auto& plan : plans()) {
    for (const std::int64_t batch : {1, 2, 3}) {
      for (const int world : {2, 3, 4}) cases.push_back({.plan = plan, .batch = batch, .world = world});
    }
  }
  cases.push_back({.plan = load_plan("tp"), .batch = 2, .world = 2, .seq = 150});
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
    const double error =
        mutated.error.max_rel / error_bound(Llama(mutation_model()), which.seq, which.world, at::kFloat);
    if (error > 1) return {.verdict = Verdict::caught, .error = error};
    return {.verdict = same_bits(expected, mutated) ? Verdict::unchanged : Verdict::survived, .error = error};
  } catch (const std::exception& refusal) {
    return {.verdict = Verdict::refused, .message = refusal.what()};
  }
}

}  // namespace tpsp
