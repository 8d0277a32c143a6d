// GEMMs of matrices in the layouts that they have.
#pragma once

#include <ATen/core/Tensor.h>

#include "tpsp/gemm/weight.h"

namespace tpsp {

/// out = a b, or added to what `out` holds where `adds`, by a kernel of plain_kernels, or by at::mm where oneDNN has
/// nothing for it. Matrices of one dtype, fp32 or bf16, and device; of `a` and `b` either dimension may be the dense
/// one, of `out` it is the last. None is empty. On meta it takes the memory that it would take, and computes nothing.
/// Throws internal_error for a kernel that packs.
void multiply_as_it_lies(GemmKernel kernel, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out, bool adds);

}  // namespace tpsp
