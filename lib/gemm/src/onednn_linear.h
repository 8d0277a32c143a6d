// oneDNN's linear layer with a packed weight. It returns new memory, so no forward uses it; the peak measurement counts
// it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace tpsp {

/// Whether this build of LibTorch and this CPU have it.
bool has_onednn_linear(at::ScalarType dtype);

/// Packs `weight` and returns what multiplies `x` with it, x W^T.
std::function<at::Tensor()> onednn_linear(const at::Tensor& x, const at::Tensor& weight);

}  // namespace tpsp
