// The arithmetic between collectives, on local tensors. On the meta device every call gives the shape alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace tpsp::ops {

/// Rows of `table` (`[rows, hidden]`, global rows first_row...) for `ids` (`[seq, batch]`): `[seq, batch, hidden]`,
/// zero where an id lies outside.
at::Tensor embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row);

/// `[seq, batch, in]` times `weight` (`[out, in]`) transposed: `[seq, batch, out]`.
at::Tensor linear(const at::Tensor& input, const at::Tensor& weight);

/// x / sqrt(mean(x^2) + eps) * weight over the last dimension, computed in fp32 (Zhang & Sennrich, arXiv:1910.07467).
at::Tensor rms_norm(const at::Tensor& input, const at::Tensor& weight, double eps);

/// cos and sin of position * theta^(-2i/d), each `[seq, 1, 1, head_dim / 2]` (Su et al., arXiv:2104.09864).
struct RotaryTable {
  at::Tensor cos;
  at::Tensor sin;
};
RotaryTable rotary_table(std::int64_t seq, std::int64_t head_dim, double theta, const at::TensorOptions& options);

/// Turns the pairs (x_i, x_{i + d/2}) of `[seq, batch, heads, head_dim]`: the half-rotation of Hugging Face's LLaMA.
at::Tensor rotate(const at::Tensor& heads, const RotaryTable& table);

/// Causal softmax(QK^T / sqrt(d)) V of `[seq, batch, heads, head_dim]` queries and `[seq, batch, kv heads, head_dim]`
/// keys and values; heads is a multiple of kv heads. Returns `[seq, batch, heads * head_dim]`.
at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values);

/// silu(gate) * up, written into `gate` (Shazeer, arXiv:2002.05202).
at::Tensor swiglu(at::Tensor gate, const at::Tensor& up);

}  // namespace tpsp::ops
