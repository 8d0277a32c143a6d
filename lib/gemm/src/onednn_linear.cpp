#include "onednn_linear.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/InferenceMode.h>

#include <optional>
#include <vector>

namespace tpsp {
namespace {

// LibTorch registers both by name alone.
std::optional<c10::OperatorHandle> find(const char* name) {
  return c10::Dispatcher::singleton().findSchema({name, ""});
}
std::optional<c10::OperatorHandle> find_reorder() { return find("mkldnn::_reorder_linear_weight"); }
std::optional<c10::OperatorHandle> find_linear() { return find("mkldnn::_linear_pointwise"); }

}  // namespace

bool has_onednn_linear(at::ScalarType dtype) {
  if (!find_reorder() || !find_linear()) return false;
  try {
    const c10::InferenceMode no_gradients;
    const auto matrix = at::ones({16, 16}, dtype);
    onednn_linear(matrix, matrix)();
    return true;
  } catch (const c10::Error&) {  // it refuses bf16 on CPUs that are too old for it
    return false;
  }
}

std::function<at::Tensor()> onednn_linear(const at::Tensor& x, const at::Tensor& weight) {
  std::vector<c10::IValue> stack{weight, x.size(0)};
  find_reorder()->callBoxed(stack);
  return [x, packed = stack.front().toTensor(), linear = *find_linear()] {
    const c10::IValue no_bias;
    const c10::IValue no_algorithm;
    std::vector<c10::IValue> arguments{x,           packed, no_bias, "none", c10::List<std::optional<at::Scalar>>(),
                                       no_algorithm};
    linear.callBoxed(arguments);
    return arguments.front().toTensor();
  };
}

}  // namespace tpsp
