// oneDNN's matmul of matrices in the layouts that they have.
#pragma once

#include <ATen/core/Tensor.h>

namespace tpsp {

/// out = a b, or added to what `out` holds where `adds`. Matrices of one dtype, fp32 or bf16, on the CPU; of `a` and
/// `b` either dimension may be the dense one, of `out` it is the last. False, with nothing done, where this build and
/// CPU have no kernel for it. Throws std::bad_alloc where oneDNN lacks memory.
bool onednn_multiply(const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds = false);

}  // namespace tpsp
