#include "tpsp/bench/check.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tpsp/comm/backend.h"
#include "tpsp/core/math.h"
#include "tpsp/model/llama.h"

namespace tpsp {
namespace {

double finite_or_infinity(double value) {
  return std::isfinite(value) ? value : std::numeric_limits<double>::infinity();
}

at::Tensor serial_logits(const ModelConfig& config, const WeightRecipe& recipe, const at::Tensor& tokens) {
  const auto plan = reference_plan(config);
  const StreamedWeights weights(plan.modules, recipe);
  SerialWorld alone;
  const auto comm = make_communicator(standard_backends(), "serial", alone, recipe.device);
  return Llama(config, plan, weights, {.comm = *comm}).logits(tokens);
}

}  // namespace

LoweredPlan reference_plan(const ModelConfig& config) {
  return lower(Plan{.name = "reference", .source = "reference", .rules = {}}, modules_of(config), 1);
}

std::int64_t reference_share(std::int64_t batch, int ranks) { return ceil_divide(batch, ranks); }

double error_bound(at::ScalarType dtype) { return dtype == at::kBFloat16 ? 3e-2 : 1e-4; }

Reference::Reference(const ModelConfig& config, const WeightRecipe& recipe, const at::Tensor& tokens,
                     const World& world) {
  const auto batch = tokens.size(0);
  const auto share = reference_share(batch, world.size());
  first_ = std::min(batch, world.rank() * share);
  count_ = std::min(batch - first_, share);
  if (count_ > 0) logits_ = serial_logits(config, recipe, tokens.narrow(0, first_, count_));
}

LogitsError Reference::error(const at::Tensor& logits, World& world) const {
  double difference = 0;
  double largest = 0;
  if (count_ > 0) {
    const auto mine = logits.narrow(0, first_, count_);
    difference = finite_or_infinity(at::sub(mine, logits_).abs_().max().item<double>());
    largest = logits_.abs().max().item<double>();
  }
  const auto all = max_over_ranks(world, {difference, largest});
  return {.max_abs = all[0], .max_rel = finite_or_infinity(all[0] / all[1])};
}

}  // namespace tpsp
