// oneDNN's matmul of matrices in the layouts that they have.
#pragma once

#include <ATen/core/Tensor.h>

namespace tpsp {

/// Which of oneDNN's implementations.
enum class OnednnGemm {
  first,  ///< the one that it puts first: brg for dense operands, where the CPU has its instructions
  jit,    ///< gemm:jit
};

/// Whether this build and CPU have it for a dtype.
bool onednn_has(OnednnGemm gemm, at::ScalarType dtype);

/// out = a b, or added to what `out` holds where `adds`. Matrices of one dtype, fp32 or bf16, on the CPU; of `a` and
/// `b` either dimension may be the dense one, of `out` it is the last. None is empty. What oneDNN asks for as its
/// scratch is allocated here: under gemm:jit a bf16 result is summed in fp32, up to 512 rows at a time. Matrices on
/// meta, which stand for the CPU's, take as much and compute nothing. False, with nothing done, where this build and
/// CPU have no kernel for it. Throws std::bad_alloc where oneDNN lacks memory.
bool onednn_multiply(OnednnGemm gemm, const at::Tensor& a, const at::Tensor& b, const at::Tensor& out,
                     bool adds = false);

}  // namespace tpsp
