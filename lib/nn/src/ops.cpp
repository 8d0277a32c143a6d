#include "tpsp/nn/ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <utility>

#include "elements.h"
#include "ops_cuda.h"
#include "tpsp/kernels/kernels.h"

namespace tpsp::ops {
namespace {

// Where the last dimension lies at these indices of the others; it is contiguous.
template <typename... Index>
std::byte* row_at(const at::Tensor& tensor, Index... index) {
  std::int64_t dim = 0;
  std::int64_t elements = 0;
  ((elements += index * tensor.stride(dim++)), ...);
  return static_cast<std::byte*>(tensor.data_ptr()) + elements * tensor.element_size();
}

void embedding_on_cpu(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row, const at::Tensor& out) {
  const auto row_bytes = static_cast<std::size_t>(table.size(1) * table.element_size());
  const auto* const id = ids.const_data_ptr<std::int64_t>();
  const auto batch = out.size(1);
  at::parallel_for(0, ids.numel(), grain(table.size(1)), [&](std::int64_t begin, std::int64_t end) {
    for (auto token = begin; token < end; ++token) {
      auto* const to = row_at(out, token / batch, token % batch);
      const auto row = id[token] - first_row;
      if (row < 0 || row >= table.size(0)) {
        std::memset(to, 0, row_bytes);
      } else {
        std::memcpy(to, row_at(table, row), row_bytes);
      }
    }
  });
}

}  // namespace

void embedding(const at::Tensor& table, const at::Tensor& ids, std::int64_t first_row, const at::Tensor& out) {
  if (table.is_meta()) return;
  if constexpr (with_cuda) {
    if (table.is_cuda()) return cuda::embedding(table, ids.contiguous(), first_row, out);
  }
  embedding_on_cpu(table, ids.contiguous(), first_row, out);
}

void linear(const at::Tensor& input, const GemmWeight& weight, const at::Tensor& out) {
  const auto rows = rows_of(input);
  weight.multiply(rows.stride(1) == 1 ? rows : rows.contiguous(), rows_of(out));
}

namespace {

// x and 1 / sqrt(mean(x^2) + eps), in fp32.
std::pair<at::Tensor, at::Tensor> with_inverse(const at::Tensor& input, double eps) {
  const auto x = input.to(at::kFloat);
  const auto width = static_cast<double>(x.size(-1));
  return {x, at::linalg_vector_norm(x, 2, {-1}, /*keepdim=*/true).square_().div_(width).add_(eps).rsqrt_()};
}

}  // namespace

at::Tensor rms_norm(const at::Tensor& input, const at::Tensor& weight, double eps) {
  const auto [x, inverse] = with_inverse(input, eps);
  return at::mul(x, inverse).mul_(weight).to(input.scalar_type());
}

void add(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& sum) {
  auto target = sum;
  if (partials.size() > 1 && stream.is_cpu()) {  // summed first and rounded once, as a collective would have
    const auto total = at::empty(stream.sizes(), stream.options());
    with_element(stream, [&]<typename T>(T) {
      kernels::sum(data_of<T>(total), Terms<T>(partials, 0).get(), static_cast<std::size_t>(total.numel()));
    });
    at::add_out(target, stream, total);
    return;
  }
  at::add_out(target, stream, partials.front());
  for (std::size_t i = 1; i < partials.size(); ++i) target.add_(partials[i]);
}

void add_norm(const at::Tensor& stream, const std::vector<at::Tensor>& partials, const at::Tensor& sum,
              const at::Tensor& weight, double eps, const at::Tensor& normed) {
  if (normed.is_meta()) return;
  if constexpr (with_cuda) {
    if (normed.is_cuda()) return cuda::add_norm(stream, partials, sum, weight, eps, normed);
  }
  const auto width = stream.size(-1);
  with_element(stream, [&]<typename T>(T) {
    at::parallel_for(0, stream.numel() / width, grain(width), [&](std::int64_t begin, std::int64_t end) {
      const Terms<T> terms(partials, begin * width);
      kernels::add_norm(kernels::AddNorm<T>{.terms = terms.get(),
                                            .stream = data_of<const T>(stream) + begin * width,
                                            .sum = data_of<T>(sum) + begin * width,
                                            .weight = data_of<const T>(weight),
                                            .normed = data_of<T>(normed) + begin * width,
                                            .rows = static_cast<std::size_t>(end - begin),
                                            .width = static_cast<std::size_t>(width),
                                            .eps = static_cast<float>(eps)});
    });
  });
}

namespace {

void add_norm_backward_anywhere(const std::vector<at::Tensor>& partials, const at::Tensor& input,
                                const at::Tensor& weight, double eps, const at::Tensor& gradient, bool adds,
                                const at::Tensor& weight_gradient) {
  auto of_normed = partials.front().to(at::kFloat);
  for (std::size_t i = 1; i < partials.size(); ++i) of_normed = of_normed + partials[i];
  const auto [x, inverse] = with_inverse(input, eps);
  const auto direction = x * inverse;
  const auto weighted = of_normed * weight;
  const auto from_norm = (weighted - direction * (weighted * direction).mean(-1, /*keepdim=*/true)) * inverse;
  gradient.copy_(adds ? from_norm + gradient : from_norm);
  weight_gradient.add_((of_normed * direction).flatten(0, -2).sum(0));
}

// The weight's gradient of one thread's rows each.
at::Tensor weight_gradients_of_threads(const at::Tensor& input, std::int64_t threads) {
  return at::zeros({threads, input.size(-1)}, input.options().dtype(at::kFloat));
}

}  // namespace

void add_norm_backward(const std::vector<at::Tensor>& partials, const at::Tensor& input, const at::Tensor& weight,
                       double eps, const at::Tensor& gradient, bool adds, const at::Tensor& weight_gradient,
                       const StandsFor& meta) {
  if (input.is_meta()) return void(weight_gradients_of_threads(input, meta.threads));
  if (!input.is_cpu()) {
    return add_norm_backward_anywhere(partials, input, weight, eps, gradient, adds, weight_gradient);
  }
  const auto width = input.size(-1);
  const auto of_threads = weight_gradients_of_threads(input, at::get_num_threads());
  with_element(input, [&]<typename T>(T) {
    at::parallel_for(0, input.numel() / width, grain(width), [&](std::int64_t begin, std::int64_t end) {
      const Terms<T> terms(partials, begin * width);
      kernels::add_norm_backward(
          kernels::AddNormBackward<T>{.terms = terms.get(),
                                      .input = data_of<const T>(input) + begin * width,
                                      .weight = data_of<const T>(weight),
                                      .gradient = data_of<T>(gradient) + begin * width,
                                      .adds = adds,
                                      .weight_gradient = data_of<float>(of_threads) + at::get_thread_num() * width,
                                      .rows = static_cast<std::size_t>(end - begin),
                                      .width = static_cast<std::size_t>(width),
                                      .eps = static_cast<float>(eps)});
    });
  });
  for (std::int64_t thread = 0; thread < of_threads.size(0); ++thread) weight_gradient.add_(of_threads[thread]);
}

RotaryTable rotary_table(std::int64_t seq, std::int64_t head_dim, double theta, const at::TensorOptions& options) {
  const auto fp32 = options.dtype(at::kFloat);
  const auto exponent = at::arange(0, head_dim, 2, fp32).div_(static_cast<double>(head_dim));
  const auto frequency = at::pow(theta, exponent).reciprocal_();
  const auto angle = at::arange(seq, fp32).view({seq, 1, 1, 1}) * frequency;
  return {.cos = angle.cos(), .sin = angle.sin()};
}

namespace {

// For [seq, batch, heads, d].
at::Tensor empty_by_head(const at::Tensor& heads) {
  return at::empty({heads.size(1), heads.size(2), heads.size(0), heads.size(3)}, heads.options());
}

// [batch, heads, seq, d] seen as [seq, batch, heads, d].
at::Tensor by_token(const at::Tensor& heads) { return heads.permute({2, 0, 1, 3}); }

void rotate_anywhere(const at::Tensor& heads, const RotaryTable& table, const at::Tensor& turned) {
  const auto half = heads.size(-1) / 2;
  const auto first = heads.narrow(-1, 0, half);
  const auto second = heads.narrow(-1, half, half);
  turned.narrow(-1, 0, half).copy_(first * table.cos - second * table.sin);
  turned.narrow(-1, half, half).copy_(second * table.cos + first * table.sin);
}

// The heads of one token.
template <typename T>
kernels::Rows<T> heads_of(const at::Tensor& heads, std::int64_t s, std::int64_t b) {
  return {data_of<T>(heads) + s * heads.stride(0) + b * heads.stride(1), static_cast<std::size_t>(heads.stride(2))};
}

void rotate_on_cpu(const at::Tensor& heads, const RotaryTable& table, const at::Tensor& turned) {
  const auto batch = heads.size(1);
  const auto count = heads.size(2);
  const auto half = heads.size(3) / 2;
  const auto* const cos = data_of<const float>(table.cos);
  const auto* const sin = data_of<const float>(table.sin);
  with_element(heads, [&]<typename T>(T) {
    at::parallel_for(0, heads.size(0), grain(batch * count * half), [&](std::int64_t begin, std::int64_t end) {
      for (auto s = begin; s < end; ++s) {
        for (std::int64_t b = 0; b < batch; ++b) {
          const auto from = heads_of<const T>(heads, s, b);
          kernels::rotate(heads_of<T>(turned, s, b), from, cos + s * half, sin + s * half,
                          static_cast<std::size_t>(count), static_cast<std::size_t>(half));
        }
      }
    });
  });
}

}  // namespace

at::Tensor rotate(const at::Tensor& heads, const RotaryTable& table) {
  auto turned = empty_by_head(heads);
  if (heads.is_cpu()) {
    rotate_on_cpu(heads, table, by_token(turned));
  } else if (!heads.is_meta()) {
    rotate_anywhere(heads, table, by_token(turned));
  }
  return turned;
}

void rotate_back(const at::Tensor& gradient, const RotaryTable& table, const at::Tensor& turned) {
  const RotaryTable back{.cos = table.cos, .sin = table.sin.neg()};
  if (gradient.is_cpu()) {
    rotate_on_cpu(by_token(gradient), back, turned);
  } else if (!gradient.is_meta()) {
    rotate_anywhere(by_token(gradient), back, turned);
  }
}

at::Tensor by_head(const at::Tensor& heads) { return heads.permute({1, 2, 0, 3}).contiguous(); }

// On a GPU one kernel reads all three; else each is free before the next is turned.
QueriesKeysValues by_head(QueriesKeysValues by_token, const RotaryTable& table, const StandsFor& meta) {
  auto& [queries, keys, values] = by_token;
  if ((queries.is_meta() ? meta.device : queries.device().type()) == at::kCUDA) {
    QueriesKeysValues all{empty_by_head(queries), empty_by_head(keys), empty_by_head(values)};
    if constexpr (with_cuda) {
      if (queries.is_cuda()) cuda::rotate(by_token, table, all);
    }
    return all;
  }
  QueriesKeysValues all;
  all.queries = rotate(queries, table);
  queries.reset();
  all.keys = rotate(keys, table);
  keys.reset();
  all.values = by_head(values);
  return all;
}

namespace {

at::Tensor heads_of_queries(const at::Tensor& kv_heads, std::int64_t first, std::int64_t count, std::int64_t group) {
  const auto queries = at::arange(first, first + count, kv_heads.options().dtype(at::kLong));
  return queries.div(group, /*rounding_mode=*/"floor");
}

}  // namespace

at::Tensor heads_for_queries(const at::Tensor& kv_heads, std::int64_t first, std::int64_t count, std::int64_t group) {
  if (kv_heads.is_meta()) {  // which knows no index_select
    return at::empty({kv_heads.size(0), kv_heads.size(1), count, kv_heads.size(3)}, kv_heads.options());
  }
  return kv_heads.index_select(2, heads_of_queries(kv_heads, first, count, group));
}

void add_to_heads(const at::Tensor& gradient, std::int64_t first, std::int64_t group, const at::Tensor& kv_heads) {
  if (kv_heads.is_meta()) return;
  auto target = kv_heads;
  target.index_add_(2, heads_of_queries(kv_heads, first, gradient.size(2), group), gradient);
}

namespace {

// Whether the two are the halves of the rows of one dense tensor.
bool are_halves(const at::Tensor& gate, const at::Tensor& up) {
  const auto width = gate.size(-1);
  return gate.is_alias_of(up) && up.storage_offset() == gate.storage_offset() + width &&
         gate.strides() == up.strides() && gate.stride(2) == 1 && gate.stride(1) == 2 * width &&
         gate.stride(0) == gate.size(1) * 2 * width;
}

void swiglu_rows(const at::Tensor& out, const at::Tensor& gate, const at::Tensor& up, std::int64_t first,
                 std::int64_t last) {
  const auto width = gate.size(-1);
  with_element(gate, [&]<typename T>(T) {
    at::parallel_for(first, last, grain(width), [&](std::int64_t begin, std::int64_t end) {
      const auto from = [&]<typename E>(kernels::Rows<E> rows) {
        return kernels::Rows<E>{rows[static_cast<std::size_t>(begin)], rows.stride};
      };
      kernels::swiglu(from(kernel_rows<T>(out)), from(kernel_rows<const T>(gate)), from(kernel_rows<const T>(up)),
                      static_cast<std::size_t>(end - begin), static_cast<std::size_t>(width));
    });
  });
}

// Row i of the result lies where the inputs of row i / 2 were. So the rows [a, 2a) may be written, in any order and by
// any thread, once the rows below a have been: threads share these steps, each twice as long as the one before.
void swiglu_of_halves(const at::Tensor& out, const at::Tensor& gate, const at::Tensor& up) {
  const auto rows = gate.size(0);
  for (std::int64_t first = 0; first < rows; first = std::max<std::int64_t>(2 * first, 1)) {
    swiglu_rows(out, gate, up, first, std::min(rows, std::max<std::int64_t>(2 * first, 1)));
  }
}

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up, const StandsFor& meta) {
  if (gate.is_meta() && meta.device != at::kCPU) return gate;
  if constexpr (with_cuda) {
    if (gate.is_cuda()) {
      cuda::swiglu(gate, gate, up);
      return gate;
    }
  }
  const bool halves = are_halves(gate, up);
  const auto out = halves ? gate.as_strided(gate.sizes(), {gate.size(1) * gate.size(2), gate.size(2), 1}) : gate;
  if (gate.is_meta()) return out;
  if (halves) {
    swiglu_of_halves(rows_of(out), rows_of(gate), rows_of(up));
  } else {
    swiglu_rows(rows_of(out), rows_of(gate), rows_of(up), 0, out.size(0) * out.size(1));
  }
  return out;
}

at::Tensor swiglu_for_backward(const at::Tensor& gate, const at::Tensor& up) {
  const auto out = at::empty(gate.sizes(), gate.options());
  if (gate.is_meta()) return out;
  if (gate.is_cpu()) {
    swiglu_rows(rows_of(out), rows_of(gate), rows_of(up), 0, out.size(0) * out.size(1));
    return out;
  }
  if constexpr (with_cuda) cuda::swiglu(out, gate, up);
  return out;
}

void swiglu_backward(const at::Tensor& result, const at::Tensor& gate, const at::Tensor& up) {
  if (result.is_meta()) return;
  if (!result.is_cpu()) {
    const auto silu = at::silu(gate);
    const auto gate_gradient = at::silu_backward(result * up, gate);
    const auto again = silu * up;
    up.copy_(result * silu);
    gate.copy_(gate_gradient);
    result.copy_(again);
    return;
  }
  const auto out_rows = rows_of(result);
  const auto gate_rows = rows_of(gate);
  const auto up_rows = rows_of(up);
  const auto width = result.size(-1);
  with_element(result, [&]<typename T>(T) {
    at::parallel_for(0, out_rows.size(0), grain(width), [&](std::int64_t begin, std::int64_t end) {
      const auto from = [&](const at::Tensor& rows) {
        const auto all = kernel_rows<T>(rows);
        return kernels::Rows<T>{all[static_cast<std::size_t>(begin)], all.stride};
      };
      kernels::swiglu_backward(from(out_rows), from(gate_rows), from(up_rows), static_cast<std::size_t>(end - begin),
                               static_cast<std::size_t>(width));
    });
  });
}

void linear_backward_input(const at::Tensor& gradient, const GemmWeight& weight, const at::Tensor& input_gradient) {
  weight.multiply_input_gradient(rows_of(gradient), rows_of(input_gradient));
}

void linear_backward_weight(const at::Tensor& gradient, const GemmWeight& weight, const at::Tensor& input,
                            const at::Tensor& weight_gradient, bool adds) {
  weight.multiply_weight_gradient(rows_of(gradient), rows_of(input), weight_gradient, adds);
}

void embedding_backward(const at::Tensor& gradient, const at::Tensor& ids, std::int64_t first_row,
                        const at::Tensor& table_gradient) {
  if (gradient.is_meta()) return;
  const auto local = (ids - first_row).flatten();
  const auto inside = local.ge(0).logical_and_(local.lt(table_gradient.size(0)));
  auto target = table_gradient;
  target.index_add_(0, local.masked_select(inside), rows_of(gradient).index({inside}));
}

namespace {

// Where the target is one of the words, its logit in fp32.
float target_logit(const at::Tensor& logits, std::int64_t row, std::int64_t target) {
  if (target < 0 || target >= logits.size(1)) return 0;
  const auto element = row * logits.stride(0) + target;
  if (logits.scalar_type() == at::kFloat) return logits.const_data_ptr<float>()[element];
  return logits.const_data_ptr<at::BFloat16>()[element];
}

void set_logit(const at::Tensor& logits, std::int64_t row, std::int64_t word, float value) {
  const auto element = row * logits.stride(0) + word;
  if (logits.scalar_type() == at::kFloat) {
    logits.mutable_data_ptr<float>()[element] = value;
  } else {
    logits.mutable_data_ptr<at::BFloat16>()[element] = value;
  }
}

// For every word of a row, whether it is the target.
at::Tensor is_target(const at::Tensor& logits, const at::Tensor& targets) {
  return targets.unsqueeze(1).eq(at::arange(logits.size(1), targets.options()));
}

}  // namespace

at::Tensor softmax_sums(const at::Tensor& logits, const at::Tensor& targets) {
  const auto sums = at::empty({3, logits.size(0)}, logits.options().dtype(at::kFloat));
  if (logits.is_meta()) return sums;
  if (logits.size(1) == 0) {
    sums.zero_();
    sums[0].fill_(-std::numeric_limits<float>::infinity());
    return sums;
  }
  if (!logits.is_cpu()) {
    const auto x = logits.to(at::kFloat);
    const auto largest = x.amax(1);
    sums[0].copy_(largest);
    sums[1].copy_((x - largest.unsqueeze(1)).exp_().sum(1));
    sums[2].copy_(x.mul(is_target(logits, targets)).sum(1));
    return sums;
  }
  const auto tokens = logits.size(0);
  auto* const out = data_of<float>(sums);
  const auto* const target = targets.const_data_ptr<std::int64_t>();
  with_element(logits, [&]<typename T>(T) {
    at::parallel_for(0, tokens, grain(logits.size(1)), [&](std::int64_t begin, std::int64_t end) {
      const auto all = kernel_rows<const T>(logits);
      kernels::softmax_sums({all[static_cast<std::size_t>(begin)], all.stride}, out + begin, out + tokens + begin,
                            static_cast<std::size_t>(end - begin), static_cast<std::size_t>(logits.size(1)));
      for (auto row = begin; row < end; ++row) out[2 * tokens + row] = target_logit(logits, row, target[row]);
    });
  });
  return sums;
}

namespace {

// Token by token, without memory of its own.
void combine_on_cpu(const at::Tensor& sums, const at::Tensor& log_sums, const at::Tensor& losses) {
  const auto all = sums.accessor<float, 3>();
  const auto ranks = all.size(0);
  auto log_sum = log_sums.accessor<float, 1>();
  auto loss = losses.accessor<float, 1>();
  for (std::int64_t token = 0; token < all.size(2); ++token) {
    float most = all[0][0][token];
    for (std::int64_t rank = 1; rank < ranks; ++rank) most = std::max(most, all[rank][0][token]);
    float total = 0;
    float target = 0;
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      total += std::exp(all[rank][0][token] - most) * all[rank][1][token];
      target += all[rank][2][token];
    }
    log_sum[token] = std::log(total) + most;
    loss[token] = log_sum[token] - target;
  }
}

}  // namespace

void combine_softmax_sums(const at::Tensor& sums, const at::Tensor& log_sums, const at::Tensor& losses) {
  if (sums.is_meta()) return;
  if (sums.is_cpu()) return combine_on_cpu(sums, log_sums, losses);
  const auto largest = sums.select(1, 0);
  const auto most = largest.amax(0);
  const auto total = (largest - most).exp_().mul_(sums.select(1, 1)).sum(0);
  auto out = log_sums;
  at::log_out(out, total).add_(most);
  auto loss = losses;
  at::sub_out(loss, log_sums, sums.select(1, 2).sum(0));
}

double sum_of_counted(const at::Tensor& losses, const at::Tensor& counted) {
  if (losses.is_meta()) return 0;
  if (!losses.is_cpu()) return losses.masked_select(counted).sum(at::kDouble).item<double>();
  const auto loss = losses.accessor<float, 1>();
  const auto counts = counted.accessor<bool, 1>();
  double sum = 0;
  for (std::int64_t token = 0; token < loss.size(0); ++token) sum += counts[token] ? loss[token] : 0;
  return sum;
}

void cross_entropy_backward(const at::Tensor& logits, const at::Tensor& log_sums, const at::Tensor& targets,
                            const at::Tensor& counted, double scale) {
  if (logits.is_meta() || logits.size(1) == 0) return;
  if (!logits.is_cpu()) {
    const auto softmax = (logits.to(at::kFloat) - log_sums.unsqueeze(1)).exp_();
    logits.copy_(softmax.sub_(is_target(logits, targets)).mul_(counted.unsqueeze(1)).mul_(scale));
    return;
  }
  const auto* const log_sum = data_of<const float>(log_sums);
  const auto* const target = targets.const_data_ptr<std::int64_t>();
  const auto* const counts = counted.const_data_ptr<bool>();
  const auto words = logits.size(1);
  with_element(logits, [&]<typename T>(T) {
    at::parallel_for(0, logits.size(0), grain(words), [&](std::int64_t begin, std::int64_t end) {
      const auto all = kernel_rows<T>(logits);
      for (auto row = begin; row < end; ++row) {
        auto* const from = all[static_cast<std::size_t>(row)];
        if (!counts[row]) {
          std::fill_n(from, words, T{});
          continue;
        }
        const auto logit = target_logit(logits, row, target[row]);
        kernels::scaled_softmax({from, all.stride}, log_sum + row, static_cast<float>(scale), 1,
                                static_cast<std::size_t>(words));
        if (target[row] < 0 || target[row] >= words) continue;
        set_logit(logits, row, target[row], static_cast<float>(scale) * std::expm1(logit - log_sum[row]));
      }
    });
  });
}

}  // namespace tpsp::ops
