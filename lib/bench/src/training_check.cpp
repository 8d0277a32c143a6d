#include "tpsp/bench/training_check.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "largest.h"
#include "tpsp/bench/check.h"

namespace tpsp {
namespace {

/// A module's gradient or weight as a matrix; a norm's has one column.
at::Tensor as_matrix(const at::Tensor& tensor) { return tensor.dim() == 1 ? tensor.unsqueeze(1) : tensor; }

/// The sum of all ranks' matrices, in fp32 on the host; a rank without a share has an undefined one. Collective.
at::Tensor sum_over_ranks(const at::Tensor& mine, at::IntArrayRef sizes, World& world) {
  std::string bytes;
  if (mine.defined()) {
    const auto rows = mine.to(at::kCPU, at::kFloat).contiguous();
    bytes = {static_cast<const char*>(rows.const_data_ptr()), rows.nbytes()};
  }
  auto sum = at::zeros(sizes);
  for (auto& theirs : world.exchange(bytes)) {
    if (!theirs.empty()) sum.add_(at::from_blob(theirs.data(), sizes, sum.options()));
  }
  return sum;
}

/// The part of rows begin ... of an unsharded tensor that a shard holds, in both.
struct Overlap {
  at::Tensor expected;
  at::Tensor shard;
};

std::optional<Overlap> overlap(const at::Tensor& rows, std::int64_t begin, const at::Tensor& shard,
                               const WeightShard& where) {
  if (where.dim == 1) {
    const auto first = where.rank * shard.size(1);
    const auto count = std::min(rows.size(1) - first, shard.size(1));
    if (count <= 0) return std::nullopt;
    return Overlap{rows.narrow(1, first, count), shard.narrow(0, begin, rows.size(0)).narrow(1, 0, count)};
  }
  const auto offset = where.dim == 0 ? where.rank * shard.size(0) : 0;
  const auto first = std::max(begin, offset);
  const auto last = std::min(begin + rows.size(0), offset + shard.size(0));
  if (first >= last) return std::nullopt;
  return Overlap{rows.narrow(0, first - begin, last - first), shard.narrow(0, first - offset, last - first)};
}

// The largest element beyond the unsharded tensor's end, where all are to be 0.
double largest_of_padding(const at::Tensor& shard, std::int64_t whole, const WeightShard& where) {
  if (!where.dim) return 0;
  const auto size = shard.size(*where.dim);
  const auto held = std::clamp<std::int64_t>(whole - where.rank * size, 0, size);
  return largest_of(shard.narrow(*where.dim, held, size - held));
}

// A weight after AdamW's first step, whose corrected moments are the gradient and its square.
at::Tensor stepped(const at::Tensor& weight, const at::Tensor& gradient, const AdamWOptions& options) {
  return weight * (1 - options.learning_rate * options.weight_decay) -
         options.learning_rate * gradient / (gradient.abs() + options.eps);
}

}  // namespace

double step_error_bound(const Architecture& model, std::int64_t seq, int ranks, at::ScalarType dtype) {
  constexpr double passes = 2;
  return passes * error_bound(model, seq, ranks, dtype);
}

StepReference::StepReference(const Architecture& model, const WeightRecipe& recipe, const Input& batch, World& world)
    : recipe_(recipe) {
  const auto sequences = batch.tokens.size(0);
  const auto share = reference_share(sequences, world.size());
  const auto first = std::min(sequences, world.rank() * share);
  const auto count = std::min(sequences - first, share);
  if (count > 0) {
    const Input mine{.tokens = batch.tokens.narrow(0, first, count), .targets = batch.targets.narrow(0, first, count)};
    share_ = model.reference_step(recipe, mine, 1 / static_cast<double>(batch.tokens.numel()));
  }
  for (const auto& [name, gradient] : share_.gradients) largest_ = std::max(largest_, largest_of(gradient));
  largest_ = max_over_ranks(world, {largest_}).front();
  for (const auto& theirs : exchange_numbers(world, {share_.loss})) loss_ += theirs.front();
}

AdamWOptions StepReference::optimizer() const { return {.learning_rate = 1, .eps = largest_}; }

// Every rank gets the reference's rows, some at a time, and compares those that it holds. They travel through the
// World, not through the process group under test.
StepReference::Difference StepReference::difference(const Module& module, const CheckedStep& step, World& world) const {
  const WeightShard where{.dim = step.plan.at(module.name).weight_dim, .rank = step.rank, .ranks = step.plan.world};
  const auto shard = as_matrix(step.gradients.of(module.name));
  at::Tensor before, after;
  if (step.updated != nullptr) {
    before = as_matrix(make_weight(module, where, recipe_));
    after = as_matrix(step.updated->parameter(module.name));
  }
  const auto mine = share_.gradients.find(module.name);
  const auto rows = module.dims.front().size;
  const auto columns = module.dims.size() > 1 ? module.dims.back().size : 1;
  const auto row_bytes = columns * static_cast<std::int64_t>(sizeof(float));
  const auto at_a_time = std::max<std::int64_t>(1, exchanged_bytes / world.size() / row_bytes);
  Difference result{.gradient = largest_of_padding(shard, where.dim == 1 ? columns : rows, where)};
  for (std::int64_t begin = 0; begin < rows; begin += at_a_time) {
    const auto count = std::min(at_a_time, rows - begin);
    const auto share = mine == share_.gradients.end() ? at::Tensor() : as_matrix(mine->second).narrow(0, begin, count);
    const auto sum = sum_over_ranks(share, {count, columns}, world).to(shard.device());
    result.largest_gradient = std::max(result.largest_gradient, largest_of(sum));
    const auto held = overlap(sum, begin, shard, where);
    if (!held) continue;
    result.gradient = std::max(result.gradient, largest_of(held->shard.to(at::kFloat) - held->expected));
    if (step.updated == nullptr) continue;
    const auto old_weight = overlap(sum, begin, before, where)->shard.to(at::kFloat);
    const auto wanted = stepped(old_weight, held->expected, optimizer());
    const auto found = overlap(sum, begin, after, where)->shard.to(at::kFloat);
    result.weights = std::max(result.weights, largest_of(found - wanted));
    result.largest_weight = std::max(result.largest_weight, largest_of(wanted));
  }
  return result;
}

StepError StepReference::error(const CheckedStep& step, World& world) const {
  std::vector<std::string> names;
  std::vector<double> numbers;
  double largest_of_all = 0;
  for (const auto& module : step.plan.modules) {
    if (module.kind == ModuleKind::container) continue;
    const auto one = difference(module, step, world);
    names.push_back(module.name);
    numbers.insert(numbers.end(), {one.gradient, one.largest_gradient, one.weights, one.largest_weight});
    largest_of_all = std::max(largest_of_all, one.largest_gradient);
  }
  numbers.push_back(finite_or_infinity(std::abs(step.loss - loss_) / std::abs(loss_)));
  numbers = max_over_ranks(world, numbers);
  StepError result{.loss = numbers.back(), .worst = names.front()};
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto* const of_module = &numbers[4 * i];
    // The gradient of queries and keys is 0 for a single token, but for rounding.
    constexpr double smallest_scale = 1e-3;
    const auto gradient = finite_or_infinity(of_module[0] / std::max(of_module[1], smallest_scale * largest_of_all));
    if (gradient > result.gradient) result.worst = names[i];
    result.gradient = std::max(result.gradient, gradient);
    result.max_abs = std::max(result.max_abs, of_module[0]);
    if (step.updated == nullptr) continue;
    result.weights = std::max(result.weights, finite_or_infinity(of_module[2] / of_module[3]));
  }
  return result;
}

}  // namespace tpsp
