#include "tpsp/nn/feed_forward.h"

#include <utility>

namespace tpsp::nn {
namespace {

// What `down` multiplies with.
Sharded gated(const Layers& layers, Sharded input, const FeedForwardModules& modules) {
  auto results = layers.gemms(std::move(input), modules.container, {modules.gate, modules.up});
  auto value = layers.swiglu(std::move(results[0]), modules.gate, std::move(results[1]), modules.up);
  results.clear();
  return layers.arrive(std::move(value), modules.down);
}

}  // namespace

Delta feed_forward(const Layers& layers, Sharded input, const FeedForwardModules& modules) {
  return {.value = layers.gemm(gated(layers, std::move(input), modules), modules.down), .module = modules.down};
}

void feed_forward_again(const Layers& layers, Sharded input, const FeedForwardModules& modules) {
  gated(layers, std::move(input), modules);
}

Sharded feed_forward_backward(const Layers& layers, const Sharded& gradient, const InputAgain& input,
                              const FeedForwardModules& modules) {
  auto value = layers.input_backward(gradient, modules.down);
  value = layers.redistribute_backward(std::move(value), modules.down);
  auto gradients = layers.swiglu_backward(value, modules.gate, modules.up);
  // The backward of swiglu has left its result in `value`.
  layers.weight_backward(gradient, layers.without_saved().arrive(std::move(value), modules.down), modules.down);
  return layers.gemms_backward(std::move(gradients), input, modules.container, {modules.gate, modules.up});
}

}  // namespace tpsp::nn
