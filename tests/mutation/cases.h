// The forwards and training steps that a mutation is tried on, and what the check says of each.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tpsp/comm/process_group.h"
#include "tpsp/models/config.h"
#include "tpsp/models/training_step.h"
#include "tpsp/parallel/plan.h"
#include "tpsp/weights/weights.h"

namespace tpsp {

struct MutationCase {
  Plan plan;
  std::int64_t batch = 1;
  int world = 2;  ///< ranks of the plan
  std::int64_t seq = 7;
  std::optional<StepSettings> training{};  ///< a step with AdamW of that many replicas, not a forward

  std::string name() const;
};

/// Every shipped plan and some that mix styles further, on batches of 1 to 3 and 2 to 4 ranks;
/// and one length that attention computes in several blocks.
std::vector<MutationCase> forward_cases();

/// Training steps of shipped and mixed plans: every policy of what is saved, micro-batches, 2 and 3 ranks; and two
/// and three replicas of one and of two ranks with every stage of sharding.
std::vector<MutationCase> step_cases();

/// The model of all cases: two layers, grouped heads that divide over 2, 3 and 4 ranks, an odd vocabulary. Its norms
/// have an eps that shows where their input is scaled.
const LlamaConfig& mutation_model();

/// What stands between a rank's forward and its process group or weights; a step has only `activate`. A default one
/// changes nothing.
struct Injection {
  std::function<std::unique_ptr<ProcessGroup>(ProcessGroup& inner, int calls_of_a_forward)> process_group{};
  std::function<std::unique_ptr<WeightSource>(const LoweredPlan& plan, int rank)> weights{};
  std::function<void()> activate{};  ///< before the ranks start
};

enum class Verdict {
  unchanged,  ///< every logit, or loss, gradient and updated weight, on every rank has the unmutated run's bits
  refused,    ///< an error: no row would have numbers
  caught,     ///< some differ, and the check fails
  survived,   ///< some differ, and the check passes
};
std::string_view to_string(Verdict verdict);

struct Trial {
  Verdict verdict = Verdict::unchanged;
  double error = 0;       ///< the check's, over its bound
  std::string message{};  ///< of a refusal
};

/// Runs the case as a benchmark does, with the injection on every rank: a forward or a step on other tokens first, then
/// the one whose results the check sees.
Trial try_mutation(const MutationCase& which, const Injection& injection);

}  // namespace tpsp
