#include "tpsp/weights/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "tpsp/core/memory_use.h"
#include "tpsp/kernels/kernels.h"

namespace tpsp {
namespace {

/// What is the same for all weights in a step.
struct Factors {
  Factors(const AdamWOptions& options, int step)
      : step_size(options.learning_rate / (1 - std::pow(options.beta1, step))),
        root_scale(1 / std::sqrt(1 - std::pow(options.beta2, step))),
        kept(1 - options.learning_rate * options.weight_decay) {}

  double step_size;
  double root_scale;
  double kept;
};

template <typename T, typename G>
void step_on_cpu(const at::Tensor& weight, const at::Tensor& master, const at::Tensor& gradient, const at::Tensor& mean,
                 const at::Tensor& square, const AdamWOptions& options, const Factors& factors) {
  auto* const weights = static_cast<T*>(weight.mutable_data_ptr());
  auto* const masters = master.defined() ? master.mutable_data_ptr<float>() : nullptr;
  const auto* const gradients = static_cast<const G*>(gradient.const_data_ptr());
  constexpr std::int64_t grain = 1 << 17;
  at::parallel_for(0, weight.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
    kernels::adamw(kernels::AdamW<T, G>{.weight = weights + begin,
                                        .master = masters != nullptr ? masters + begin : nullptr,
                                        .gradient = gradients + begin,
                                        .mean = mean.mutable_data_ptr<float>() + begin,
                                        .square = square.mutable_data_ptr<float>() + begin,
                                        .count = static_cast<std::size_t>(end - begin),
                                        .beta1 = static_cast<float>(options.beta1),
                                        .beta2 = static_cast<float>(options.beta2),
                                        .eps = static_cast<float>(options.eps),
                                        .step_size = static_cast<float>(factors.step_size),
                                        .root_scale = static_cast<float>(factors.root_scale),
                                        .kept = static_cast<float>(factors.kept)});
  });
}

void step_part(at::Tensor weight, at::Tensor master, const at::Tensor& gradient, at::Tensor mean, at::Tensor square,
               const AdamWOptions& options, const Factors& factors) {
  const auto g = gradient.to(at::kFloat);
  mean.lerp_(g, 1 - options.beta1);
  square.mul_(options.beta2).addcmul_(g, g, 1 - options.beta2);
  auto& exact = master.defined() ? master : weight;
  exact.mul_(factors.kept).addcdiv_(mean, square.sqrt().mul_(factors.root_scale).add_(options.eps), -factors.step_size);
  if (master.defined()) weight.copy_(master);
}

// In parts, since each takes fp32 copies of its size.
void step_anywhere(const at::Tensor& weight, const at::Tensor& master, const at::Tensor& gradient,
                   const at::Tensor& mean, const at::Tensor& square, const AdamWOptions& options,
                   const Factors& factors) {
  constexpr std::int64_t most = 1 << 26;
  for (std::int64_t first = 0; first < weight.numel(); first += most) {
    const auto count = std::min(most, weight.numel() - first);
    const auto part = [&](const at::Tensor& of) { return of.defined() ? of.view(-1).narrow(0, first, count) : of; };
    step_part(part(weight), part(master), part(gradient), part(mean), part(square), options, factors);
  }
}

}  // namespace

AdamW::AdamW(const TrainableWeights& weights, const AdamWOptions& options) : options_(options) {
  const MemoryScope scope(MemoryUse::optimizer);
  for (const auto& [name, weight] : weights.parameters()) {
    const auto fp32 = weight.options().dtype(at::kFloat);
    states_[name] = {.weight = weight,
                     .master = weight.scalar_type() == at::kFloat ? at::Tensor() : weight.to(at::kFloat),
                     .mean = at::zeros(weight.sizes(), fp32),
                     .square = at::zeros(weight.sizes(), fp32)};
  }
}

void AdamW::step(const Gradients& gradients) {
  const Factors factors(options_, ++steps_);
  for (const auto& [name, state] : states_) {
    const auto& [weight, master, mean, square] = state;
    const auto& gradient = gradients.reduced(name);
    if (weight.is_meta()) continue;
    if (!weight.is_cpu()) {
      step_anywhere(weight, master, gradient, mean, square, options_, factors);
    } else if (weight.scalar_type() == at::kFloat) {
      step_on_cpu<float, float>(weight, master, gradient, mean, square, options_, factors);
    } else if (gradient.scalar_type() == at::kFloat) {
      step_on_cpu<kernels::Bf16, float>(weight, master, gradient, mean, square, options_, factors);
    } else {
      step_on_cpu<kernels::Bf16, kernels::Bf16>(weight, master, gradient, mean, square, options_, factors);
    }
  }
}

std::int64_t AdamW::bytes() const {
  std::int64_t total = 0;
  for (const auto& [name, state] : states_) {
    for (const auto* tensor : {&state.master, &state.mean, &state.square}) {
      if (tensor->defined()) total += static_cast<std::int64_t>(tensor->nbytes());
    }
  }
  return total;
}

}  // namespace tpsp
