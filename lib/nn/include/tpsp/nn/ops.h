// The arithmetic between collectives, on local tensors. On the meta device every call gives the shape alone, and takes
// the memory that it would on the device that meta stands for.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
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

/// sum = stream + the sum of the partials, of which there is one at least; `sum` may be the stream.
void add(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& sum);

/// `add` where there are partials, and then normed = rms_norm(sum), in one pass. Without partials
/// `sum` is the stream, and nothing is written there. A GPU takes one partial at most.
void add_norm(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& sum,
              const at::Tensor& weight, double eps, const at::Tensor& normed);

/// The backward of add_norm: the sum of the partials is the gradient of `normed`, `input` is what was normalised.
/// Writes the gradient of `sum` into `gradient`, or adds it to what that holds where `adds`, and adds to the weight's,
/// `[hidden]` fp32. On the CPU in one pass.
void add_norm_backward(const std::vector<at::Tensor>& partials, const at::Tensor& input, const at::Tensor& weight,
                       double eps, const at::Tensor& gradient, bool adds, const at::Tensor& weight_gradient,
                       const StandsFor& meta = {});

/// cos and sin of position * theta^(-2i/d), each `[seq, 1, 1, head_dim / 2]` in fp32 (Su et al., arXiv:2104.09864).
struct RotaryTable {
  at::Tensor cos;
  at::Tensor sin;
};
RotaryTable rotary_table(std::int64_t seq, std::int64_t head_dim, double theta, const at::TensorOptions& options);

/// Turns the pairs (x_i, x_{i + d/2}) of `[seq, batch, heads, head_dim]`, whose last dimension is contiguous: the
/// half-rotation of Hugging Face's LLaMA. The result is contiguous, `[batch, heads, seq, head_dim]`.
at::Tensor rotate(const at::Tensor& heads, const RotaryTable& table);

/// The backward of rotate: turns gradients `[batch, heads, seq, head_dim]` back, into `[seq, batch, heads, head_dim]`,
/// whose last dimension is contiguous.
void rotate_back(const at::Tensor& gradient, const RotaryTable& table, const at::Tensor& turned);

/// `[seq, batch, heads, head_dim]` as `[batch, heads, seq, head_dim]`, contiguous.
at::Tensor by_head(const at::Tensor& heads);

struct QueriesKeysValues {
  at::Tensor queries;
  at::Tensor keys;
  at::Tensor values;
};
/// `rotate` of queries and keys and `by_head` of values, on a GPU in one pass.
QueriesKeysValues by_head(QueriesKeysValues by_token, const RotaryTable& table, const StandsFor& meta = {});

/// Of `[seq, batch, kv heads, head_dim]`, the head that each of the query heads first ... first + count - 1 attends to,
/// where `group` queries share one: `[seq, batch, count, head_dim]`.
at::Tensor heads_for_queries(const at::Tensor& kv_heads, std::int64_t first, std::int64_t count, std::int64_t group);

/// The backward of heads_for_queries: adds each of the heads of `gradient` to the one in `kv_heads` that it was.
void add_to_heads(const at::Tensor& gradient, std::int64_t first, std::int64_t group, const at::Tensor& kv_heads);

/// Causal softmax(QK^T / sqrt(d)) V of queries `[batch, heads, seq, head_dim]`, keys and values `[batch, kv heads, seq,
/// head_dim]`, all contiguous; heads is a multiple of kv heads. Returns `[seq, batch, heads * head_dim]`, contiguous.
/// On the CPU with oneDNN the exponentials are rounded to the dtype before they meet the values, and divided by their
/// fp32 sum after, as in FlashAttention (Dao et al., arXiv:2205.14135); otherwise it is LibTorch's attention. A value
/// that is not finite may reach queries up to 63 tokens before it, as 0 times infinity.
at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                            const StandsFor& meta = {});

/// What causal_attention computes with: "onednn", the two GEMMs with exponentials between them, or LibTorch's "flash",
/// "efficient", "cudnn" or "math"; with `for_backward` causal_attention_for_backward. Of meta tensors nothing.
std::string_view attention_kernel(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                                  bool for_backward);

/// What the backward needs of a forward: its result, and log of the sum of exp of each row of scores, fp32
/// `[batch, seq, heads]`.
struct AttentionResult {
  at::Tensor mixed;
  at::Tensor log_sums;
};
AttentionResult causal_attention_for_backward(const at::Tensor& queries, const at::Tensor& keys,
                                              const at::Tensor& values, const StandsFor& meta = {});

/// Gradients, each `[batch, its heads, seq, head_dim]`, last dimension contiguous.
using AttentionGradients = QueriesKeysValues;
/// LibTorch's backward of flash attention (Dao et al., arXiv:2205.14135); `gradient` is of `forward.mixed`.
AttentionGradients causal_attention_backward(const at::Tensor& gradient, const at::Tensor& queries,
                                             const at::Tensor& keys, const at::Tensor& values,
                                             const AttentionResult& forward, const StandsFor& meta = {});

/// silu(gate) * up (Shazeer, arXiv:2002.05202) of `[seq, batch, features]`, perhaps slices of wider tensors. It is
/// written over its inputs: into `gate`; or, on the CPU where the two are the halves of one tensor's rows, without gaps
/// into the first half of that tensor's memory, since dense rows are what every GEMM kernel takes.
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, const StandsFor& meta = {});

/// The same into a new tensor, so that gate and up stay for the backward.
at::Tensor swiglu_for_backward(const at::Tensor& gate, const at::Tensor& up);
/// The backward, over its operands: `result`, contiguous, holds the gradient of swiglu's result and becomes that
/// result again; gate and up become their gradients.
void swiglu_backward(const at::Tensor& result, const at::Tensor& gate, const at::Tensor& up);

/// dX = dY W of `gradient` `[seq, batch, out]` and a plain weight `[out, in]`, into `input_gradient`.
void linear_backward_input(const at::Tensor& gradient, const GemmWeight& weight, const at::Tensor& input_gradient);
/// dW = dY^T X, `[out, in]`, of `gradient` `[seq, batch, out]` and `input` `[seq, batch, in]`; added to what
/// `weight_gradient` holds where `adds`.
void linear_backward_weight(const at::Tensor& gradient, const GemmWeight& weight, const at::Tensor& input,
                            const at::Tensor& weight_gradient, bool adds);

/// Adds `gradient` `[seq, batch, hidden]` to the rows of `table_gradient` whose `ids` (`[seq, batch]`) they are.
void embedding_backward(const at::Tensor& gradient, const at::Tensor& ids, std::int64_t first_row,
                        const at::Tensor& table_gradient);

/// Of each row of logits `[tokens, words]`: the largest, the sum of exp(logit - the largest), and the logit of the word
/// `targets` (`[tokens]` int64), 0 where that is none of the words: `[3, tokens]` fp32.
at::Tensor softmax_sums(const at::Tensor& logits, const at::Tensor& targets);

/// From softmax_sums of `ranks` parts of the words, `[ranks, 3, tokens]`, over all of them: the log of the sum of
/// exp(logit), and it less the target's logit, which is the loss of the token. Each `[tokens]` fp32.
void combine_softmax_sums(const at::Tensor& sums, const at::Tensor& log_sums, const at::Tensor& losses);

/// The sum of the losses that are `counted` (`[tokens]` bool).
double sum_of_counted(const at::Tensor& losses, const at::Tensor& counted);

/// logits = scale * (softmax(logits) - 1 at the target); 0 in the rows that are not `counted` (`[tokens]` bool).
void cross_entropy_backward(const at::Tensor& logits, const at::Tensor& log_sums, const at::Tensor& targets,
                            const at::Tensor& counted, double scale);

}  // namespace tpsp::ops
