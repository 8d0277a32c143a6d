// The operations of ops.h that have kernels for GPUs, with the same arguments.
#pragma once

#include "tpsp/nn/ops.h"

namespace tpsp::ops {

/// Whether this build has them; calls stand in `if constexpr`.
#ifdef TPSP_WITH_CUDA
inline constexpr bool with_cuda = true;
#else
inline constexpr bool with_cuda = false;
#endif

namespace cuda {

void embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row, const at::Tensor& out);
void add_norm(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& sum,
              const at::Tensor& weight, double eps, const at::Tensor& normed);
/// `by_head` is allocated.
void rotate(const QueriesKeysValues& by_token, const RotaryTable& table, const QueriesKeysValues& by_head);
void swiglu(const at::Tensor& out, const at::Tensor& gate, const at::Tensor& up);

}  // namespace cuda
}  // namespace tpsp::ops
