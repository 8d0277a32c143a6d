#include "ops.h"

#include <ATen/ATen.h>

namespace tpsp::ops {

at::Tensor embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row) {
  const std::vector<std::int64_t> shape{ids.size(0), ids.size(1), table.size(1)};
  if (table.is_meta()) return at::empty(shape, table.options());
  const auto local = ids - first_row;
  const auto outside = local.lt(0).logical_or_(local.ge(table.size(0)));
  auto rows = table.index_select(0, local.masked_fill(outside, 0).flatten()).view(shape);
  return rows.masked_fill_(outside.unsqueeze(-1), 0);
}

at::Tensor linear(const at::Tensor& input, const at::Tensor& weight) {
  const auto rows = input.reshape({-1, input.size(-1)});
  return at::mm(rows, weight.t()).view({input.size(0), input.size(1), weight.size(0)});
}

at::Tensor rms_norm(const at::Tensor& input, const at::Tensor& weight, double eps) {
  const auto x = input.to(at::kFloat);
  const auto width = static_cast<double>(x.size(-1));
  const auto inverse = at::linalg_vector_norm(x, 2, {-1}, /*keepdim=*/true).square_().div_(width).add_(eps).rsqrt_();
  return at::mul(x, inverse).mul_(weight).to(input.scalar_type());
}

RotaryTable rotary_table(std::int64_t seq, std::int64_t head_dim, double theta, const at::TensorOptions& options) {
  const auto fp32 = options.dtype(at::kFloat);
  const auto exponent = at::arange(0, head_dim, 2, fp32).div_(static_cast<double>(head_dim));
  const auto frequency = at::pow(theta, exponent).reciprocal_();
  const auto angle = at::arange(seq, fp32).view({seq, 1, 1, 1}) * frequency;
  return {.cos = angle.cos().to(options.dtype()), .sin = angle.sin().to(options.dtype())};
}

at::Tensor rotate(const at::Tensor& heads, const RotaryTable& table) {
  const auto half = heads.size(-1) / 2;
  const auto first = heads.narrow(-1, 0, half);
  const auto second = heads.narrow(-1, half, half);
  auto turned = at::empty(heads.sizes(), heads.options());
  auto turned_first = turned.narrow(-1, 0, half);
  auto turned_second = turned.narrow(-1, half, half);
  at::mul_out(turned_first, first, table.cos).addcmul_(second, table.sin, -1);
  at::mul_out(turned_second, second, table.cos).addcmul_(first, table.sin);
  return turned;
}

namespace {

// Attention knows no batch apart from heads: [seq, batch, heads, d] as [1, batch * heads, seq, d], without a copy.
at::Tensor batch_as_heads(const at::Tensor& t) {
  return t.reshape({t.size(0), t.size(1) * t.size(2), t.size(3)}).transpose(0, 1).unsqueeze(0);
}

// [seq, batch, kv heads, d] with each head repeated for the queries of its group; LibTorch's CPU kernel wants them
// equal.
at::Tensor repeat_heads(const at::Tensor& t, std::int64_t times) {
  return times == 1 ? t : t.repeat_interleave(times, 2);
}

}  // namespace

at::Tensor causal_attention(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values) {
  const std::vector<std::int64_t> shape{queries.size(0), queries.size(1), queries.size(2) * queries.size(3)};
  const auto group = queries.size(2) / keys.size(2);
  const auto all_keys = repeat_heads(keys, group);
  const auto all_values = repeat_heads(values, group);
  if (queries.is_meta()) return at::empty(shape, queries.options());
  const auto mixed = at::scaled_dot_product_attention(batch_as_heads(queries), batch_as_heads(all_keys),
                                                      batch_as_heads(all_values), /*attn_mask=*/{},
                                                      /*dropout_p=*/0.0, /*is_causal=*/true);
  return mixed.squeeze(0).transpose(0, 1).reshape(shape);
}

at::Tensor swiglu(at::Tensor gate, const at::Tensor& up) { return at::silu_(gate).mul_(up); }

}  // namespace tpsp::ops
