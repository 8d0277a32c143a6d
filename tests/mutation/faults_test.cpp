// Mutations of a running forward: none that changes a logit on any rank may pass the check.
#include "mutation/faults.h"

#include "support/torch_and_catch.h"
#include "tpsp/core/environment.h"

using namespace tpsp;

namespace {

/// The cases to try the `index`-th fault on: a seventh of all, another one for each fault, or all where
/// TPSP_TEST_EVERY_CASE is set, as scripts/mutate.sh does.
std::vector<MutationCase> cases_for(std::size_t index) {
  const auto all = forward_cases();
  if (environment("TPSP_TEST_EVERY_CASE")) return all;
  constexpr std::size_t share = 7;
  std::vector<MutationCase> some;
  for (auto i = index % share; i < all.size(); i += share) some.push_back(all[i]);
  return some;
}

/// How many of the faults changed a logit in some case. Fails the test for each that then passed the check.
int count_effective(const std::vector<Fault>& faults) {
  int effective = 0;
  for (std::size_t i = 0; i < faults.size(); ++i) {
    const auto& fault = faults[i];
    bool caught = false;
    for (const auto& which : cases_for(i)) {
      const auto trial = try_mutation(which, fault.injection);
      INFO(fault.name << ", " << which.name() << ": " << to_string(trial.verdict) << ", " << trial.error
                      << " of the bound" << trial.message);
      CHECK(trial.verdict != Verdict::survived);
      CHECK(trial.verdict != Verdict::refused);
      caught = caught || trial.verdict == Verdict::caught;
    }
    effective += caught ? 1 : 0;
  }
  return effective;
}

}  // namespace

TEST_CASE("a case without a mutation is unchanged") {
  for (const auto& cases : {forward_cases(), step_cases()}) {
    for (const auto& which : cases) {
      INFO(which.name());
      CHECK(try_mutation(which, {}).verdict == Verdict::unchanged);
    }
  }
}

TEST_CASE("no wrong collective that changes a logit on any rank passes the check") {
  constexpr int calls = 12;  // as many as the longest forward has
  CHECK(count_effective(collective_faults(calls)) >= 180);
}

TEST_CASE("no wrong weight shard that changes a logit on any rank passes the check") {
  CHECK(count_effective(weight_faults()) >= 50);
}
