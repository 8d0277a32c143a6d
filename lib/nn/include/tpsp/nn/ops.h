// The arithmetic between collectives, on local tensors. On the meta device every call gives the shape alone, and takes
// the memory that it would on the device that meta stands for.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tpsp/gemm/weight.h"
#include "tpsp/parallel/sharded.h"

namespace tpsp::ops {

/// Rows of `table` (`[rows, hidden]`, global rows first_row...) for `ids` (`[seq, batch]` int64) into `out`, `[seq,
/// batch, hidden]`; zero where an id lies outside.
void embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row, const at::Tensor& out);

/// `[seq, batch, in]` times `weight` (`[out, in]`) transposed into `out`, `[seq, batch, out]`. Both may be slices of
/// wider tensors.
void linear(const at::Tensor& input, const GemmWeight& weight, const at::Tensor& out);

/// x / sqrt(mean(x^2) + eps) * weight over the last dimension, computed in fp32 (Zhang & Sennrich, arXiv:1910.07467).
at::Tensor rms_norm(const at::Tensor& input, const at::Tensor& weight, double eps);

/// stream += the sum of the partials, if any, in place.
void add(const at::Tensor& stream, const std::vector<at::Tensor>& partials);

/// `add`, and then normed = rms_norm(stream); on the CPU in one pass.
void add_norm(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& weight, double eps,
              const at::Tensor& normed);

/// cos and sin of position * theta^(-2i/d), each `[seq, 1, 1, head_dim / 2]` (Su et al., arXiv:2104.09864).
struct RotaryTable {
  at::Tensor cos;
  at::Tensor sin;
};
RotaryTable rotary_table(std::int64_t seq, std::int64_t head_dim, double theta, const at::TensorOptions& options);

/// Turns the pairs (x_i, x_{i + d/2}) of `[seq, batch, heads, head_dim]`, whose last dimension is contiguous: the
/// half-rotation of Hugging Face's LLaMA. The result is contiguous, `[batch, heads, seq, head_dim]`.
at::Tensor rotate(const at::Tensor& heads, const RotaryTable& table);

/// `[seq, batch, heads, head_dim]` as `[batch, heads, seq, head_dim]`, contiguous.
at::Tensor by_head(const at::Tensor& heads);

/// Of `[seq, batch, kv heads, head_dim]`, the head that each of the query heads first ... first + count - 1 attends to,
/// where `group` queries share one: `[seq, batch, count, head_dim]`.
at::Tensor heads_for_queries(const at::Tensor& kv_heads, std::int64_t first, std::int64_t count, std::int64_t group);

/// Causal softmax(QK^T / sqrt(d)) V of queries `[batch, heads, seq, head_dim]`, keys and values `[batch, kv heads, seq,
/// head_dim]`, all contiguous; heads is a multiple of kv heads. Returns `[seq, batch, heads * head_dim]`, contiguous.
/// On the CPU with oneDNN the exponentials are rounded to the dtype before they meet the values, and divided by their
/// fp32 sum after, as in FlashAttention (Dao et al., arXiv:2205.14135); otherwise it is LibTorch's attention. A value
/// that is not finite may reach queries up to 63 tokens before it, as 0 times infinity.
at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                            const StandsFor& meta = {});

/// silu(gate) * up (Shazeer, arXiv:2002.05202) of `[seq, batch, features]`, perhaps slices of wider tensors. It is
/// written over its inputs: into `gate`; or, on the CPU where the two are the halves of one tensor's rows, without gaps
/// into the first half of that tensor's memory, since dense rows are what every GEMM kernel takes.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, const StandsFor& meta = {});

}  // namespace tpsp::ops
