#include "tpsp/kernels/kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Compiles this file once for every instruction set that the compiler knows; the best is chosen at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels.cpp"
#include <hwy/foreach_target.h>
// After it:
#include "vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tpsp::kernels::HWY_NAMESPACE {

template <typename T>
HWY_INLINE FloatVector sum_at(std::span<const T* const> terms, std::size_t i) {
  auto total = load(terms[0] + i);
  for (std::size_t t = 1; t < terms.size(); ++t) total = hn::Add(total, load(terms[t] + i));
  return total;
}

template <typename T>
HWY_INLINE FloatVector sum_of_some_at(std::span<const T* const> terms, std::size_t i, std::size_t count) {
  auto total = load_some(terms[0] + i, count);
  for (std::size_t t = 1; t < terms.size(); ++t) total = hn::Add(total, load_some(terms[t] + i, count));
  return total;
}

template <typename T>
void sum_of(T* out, std::span<const T* const> terms, std::size_t count) {
  if (terms.empty()) return void(std::fill_n(out, count, T{}));
  const std::size_t lanes = hn::Lanes(Floats());
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto first = sum_at(terms, i);
    const auto second = sum_at(terms, i + lanes);
    store(first, out + i);
    store(second, out + i + lanes);
  }
  for (; i + lanes <= count; i += lanes) store(sum_at(terms, i), out + i);
  if (i < count) store_some(sum_of_some_at(terms, i, count - i), out + i, count - i);
}

// The sum of the terms, rounded as a separate reduction would round it, plus the stream, rounded as stored: the norm is
// taken of what the next layer will read.
template <typename T>
HWY_INLINE FloatVector residual_sum(FloatVector stream, FloatVector total, const T* type) {
  return as_stored(hn::Add(stream, as_stored(total, type)), type);
}

template <typename T>
HWY_INLINE float add_row(const AddNorm<T>& job, std::size_t row) {
  const std::size_t lanes = hn::Lanes(Floats());
  const std::size_t base = row * job.width;
  const T* const stream = job.stream + base;
  T* const out = job.sum + base;
  auto squares = hn::Zero(Floats());
  auto more_squares = hn::Zero(Floats());
  const auto one = [&](std::size_t i, FloatVector& into) HWY_ATTR {
    auto x = load(stream + i);
    if (!job.terms.empty()) {
      x = residual_sum(x, sum_at(job.terms, base + i), stream);
      store(x, out + i);
    }
    into = hn::MulAdd(x, x, into);
  };
  std::size_t i = 0;
  for (; i + 2 * lanes <= job.width; i += 2 * lanes) {
    one(i, squares);
    one(i + lanes, more_squares);
  }
  for (; i + lanes <= job.width; i += lanes) one(i, squares);
  if (i < job.width) {
    const auto left = job.width - i;
    auto x = load_some(stream + i, left);
    if (!job.terms.empty()) {
      x = residual_sum(x, sum_of_some_at(job.terms, base + i, left), stream);
      store_some(x, out + i, left);
    }
    squares = hn::MulAdd(x, x, squares);
  }
  return hn::GetLane(hn::SumOfLanes(Floats(), hn::Add(squares, more_squares)));
}

template <typename T>
void add_norm_rows(const AddNorm<T>& job) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  for (std::size_t row = 0; row < job.rows; ++row) {
    const float squares = add_row(job, row);
    const auto scale = hn::Set(floats, 1.0F / std::sqrt(squares / static_cast<float>(job.width) + job.eps));
    const T* const sum = (job.terms.empty() ? job.stream : job.sum) + row * job.width;
    T* const normed = job.normed + row * job.width;
    std::size_t i = 0;
    for (; i + lanes <= job.width; i += lanes) {
      store(hn::Mul(hn::Mul(load(sum + i), scale), load(job.weight + i)), normed + i);
    }
    const auto left = job.width - i;
    if (left == 0) continue;
    const auto last = hn::Mul(hn::Mul(load_some(sum + i, left), scale), load_some(job.weight + i, left));
    store_some(last, normed + i, left);
  }
}

// A vector of which `left` elements are there; all where that is 0.
template <typename T>
HWY_INLINE FloatVector loaded(const T* from, std::size_t left) {
  return left == 0 ? load(from) : load_some(from, left);
}

template <typename T>
HWY_INLINE FloatVector stored_sum(std::span<const T* const> terms, std::size_t i, std::size_t left) {
  return as_stored(left == 0 ? sum_at(terms, i) : sum_of_some_at(terms, i, left), terms[0]);
}

template <typename T>
HWY_INLINE void store_these(FloatVector v, T* to, std::size_t left) {
  if (left == 0) {
    store(v, to);
  } else {
    store_some(v, to, left);
  }
}

// Calls `body(i, left)` for every vector of a row, the last one perhaps with fewer elements.
template <typename Body>
HWY_INLINE void for_vectors(std::size_t width, const Body& body) {
  const std::size_t lanes = hn::Lanes(Floats());
  std::size_t i = 0;
  for (; i + lanes <= width; i += lanes) body(i, std::size_t{0});
  if (i < width) body(i, width - i);
}

template <typename T>
void add_norm_backward_rows(const AddNormBackward<T>& job) {
  const Floats floats;
  const auto width = static_cast<float>(job.width);
  for (std::size_t row = 0; row < job.rows; ++row) {
    const std::size_t base = row * job.width;
    const T* const input = job.input + base;
    T* const gradient = job.gradient + base;
    auto squares = hn::Zero(floats);
    auto dots = hn::Zero(floats);
    for_vectors(job.width, [&](std::size_t i, std::size_t left) HWY_ATTR {
      const auto x = loaded(input + i, left);
      const auto weighted = hn::Mul(stored_sum(job.terms, base + i, left), loaded(job.weight + i, left));
      squares = hn::MulAdd(x, x, squares);
      dots = hn::MulAdd(weighted, x, dots);
    });
    const float inverse = 1.0F / std::sqrt(hn::GetLane(hn::SumOfLanes(floats, squares)) / width + job.eps);
    const float mean_dot = hn::GetLane(hn::SumOfLanes(floats, dots)) / width;
    const auto scale = hn::Set(floats, inverse);
    const auto pull = hn::Set(floats, inverse * inverse * inverse * mean_dot);
    for_vectors(job.width, [&](std::size_t i, std::size_t left) HWY_ATTR {
      const auto x = loaded(input + i, left);
      const auto scaled = hn::Mul(stored_sum(job.terms, base + i, left), scale);
      const auto from_norm = hn::NegMulAdd(x, pull, hn::Mul(scaled, loaded(job.weight + i, left)));
      store_these(job.adds ? hn::Add(loaded(gradient + i, left), from_norm) : from_norm, gradient + i, left);
      const auto of_weight = hn::MulAdd(scaled, x, loaded(job.weight_gradient + i, left));
      store_these(of_weight, job.weight_gradient + i, left);
    });
  }
}

HWY_INLINE FloatVector silu_times(FloatVector gate, FloatVector up) {
  const Floats floats;
  const auto denominator = hn::Add(hn::Set(floats, 1.0F), exp2_of(hn::Mul(gate, hn::Set(floats, -log2_e))));
  return hn::Mul(hn::Div(gate, denominator), up);
}

template <typename T>
void swiglu_rows(Rows<T> out, Rows<const T> gate, Rows<const T> up, std::size_t rows, std::size_t width) {
  const std::size_t lanes = hn::Lanes(Floats());
  for (std::size_t row = 0; row < rows; ++row) {
    std::size_t i = 0;
    for (; i + lanes <= width; i += lanes) {
      store(silu_times(load(gate[row] + i), load(up[row] + i)), out[row] + i);
    }
    const auto left = width - i;
    if (left == 0) continue;
    store_some(silu_times(load_some(gate[row] + i, left), load_some(up[row] + i, left)), out[row] + i, left);
  }
}

template <typename T>
void swiglu_backward_rows(Rows<T> out, Rows<T> gate, Rows<T> up, std::size_t rows, std::size_t width) {
  const Floats floats;
  const auto one = hn::Set(floats, 1.0F);
  for (std::size_t row = 0; row < rows; ++row) {
    for_vectors(width, [&](std::size_t i, std::size_t left) HWY_ATTR {
      const auto gradient = loaded(out[row] + i, left);
      const auto g = loaded(gate[row] + i, left);
      const auto u = loaded(up[row] + i, left);
      const auto sigmoid = hn::Div(one, hn::Add(one, exp2_of(hn::Mul(g, hn::Set(floats, -log2_e)))));
      const auto silu = hn::Mul(g, sigmoid);
      const auto slope = hn::MulAdd(silu, hn::Sub(one, sigmoid), sigmoid);
      store_these(hn::Mul(silu, u), out[row] + i, left);
      store_these(hn::Mul(hn::Mul(gradient, u), slope), gate[row] + i, left);
      store_these(hn::Mul(gradient, silu), up[row] + i, left);
    });
  }
}

template <typename T>
void softmax_sums_of(Rows<const T> logits, float* maxima, float* sums, std::size_t rows, std::size_t width) {
  const Floats floats;
  const auto least = hn::Set(floats, -std::numeric_limits<float>::infinity());
  const auto only = [&](FloatVector v, std::size_t left, FloatVector elsewhere)
                        HWY_ATTR { return left == 0 ? v : hn::IfThenElse(hn::FirstN(floats, left), v, elsewhere); };
  for (std::size_t row = 0; row < rows; ++row) {
    const T* const from = logits[row];
    auto most = least;
    for_vectors(width, [&](std::size_t i, std::size_t left)
                           HWY_ATTR { most = hn::Max(most, only(loaded(from + i, left), left, least)); });
    const float largest_logit = hn::GetLane(hn::MaxOfLanes(floats, most));
    const auto shift = hn::Set(floats, largest_logit);
    auto sum = hn::Zero(floats);
    for_vectors(width, [&](std::size_t i, std::size_t left) HWY_ATTR {
      const auto x = hn::Mul(hn::Sub(loaded(from + i, left), shift), hn::Set(floats, log2_e));
      sum = hn::Add(sum, only(exp2_of(x), left, hn::Zero(floats)));
    });
    maxima[row] = largest_logit;
    sums[row] = hn::GetLane(hn::SumOfLanes(floats, sum));
  }
}

template <typename T>
void scaled_softmax_of(Rows<T> logits, const float* log_sums, float scale, std::size_t rows, std::size_t width) {
  const Floats floats;
  for (std::size_t row = 0; row < rows; ++row) {
    T* const to = logits[row];
    const auto shift = hn::Set(floats, log_sums[row]);
    for_vectors(width, [&](std::size_t i, std::size_t left) HWY_ATTR {
      const auto x = hn::Mul(hn::Sub(loaded(to + i, left), shift), hn::Set(floats, log2_e));
      store_these(hn::Mul(exp2_of(x), hn::Set(floats, scale)), to + i, left);
    });
  }
}

template <typename T, typename G>
void adamw_of(const AdamW<T, G>& job) {
  const Floats floats;
  for_vectors(job.count, [&](std::size_t i, std::size_t left) HWY_ATTR {
    const auto gradient = loaded(job.gradient + i, left);
    const auto old_mean = loaded(job.mean + i, left);
    const auto mean = hn::MulAdd(hn::Set(floats, 1 - job.beta1), hn::Sub(gradient, old_mean), old_mean);
    const auto news = hn::Mul(hn::Mul(gradient, gradient), hn::Set(floats, 1 - job.beta2));
    const auto square = hn::MulAdd(loaded(job.square + i, left), hn::Set(floats, job.beta2), news);
    store_these(mean, job.mean + i, left);
    store_these(square, job.square + i, left);
    const auto root = hn::MulAdd(hn::Sqrt(square), hn::Set(floats, job.root_scale), hn::Set(floats, job.eps));
    const auto step = hn::Div(hn::Mul(mean, hn::Set(floats, job.step_size)), root);
    const auto before = job.master != nullptr ? loaded(job.master + i, left) : loaded(job.weight + i, left);
    const auto weight = hn::MulSub(before, hn::Set(floats, job.kept), step);
    if (job.master != nullptr) store_these(weight, job.master + i, left);
    store_these(weight, job.weight + i, left);
  });
}

HWY_INLINE float largest(const float* row, std::size_t count) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  if (count < lanes) return *std::max_element(row, row + count);
  auto most = load(row);
  for (std::size_t i = lanes; i + lanes <= count; i += lanes) most = hn::Max(most, load(row + i));
  most = hn::Max(most, load(row + count - lanes));  // some of them twice
  return hn::GetLane(hn::MaxOfLanes(floats, most));
}

template <typename T>
void causal_exponentials_of(const CausalRows<T>& job) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  const auto factor = hn::Set(floats, job.scale * log2_e);
  for (std::size_t row = 0; row < job.rows; ++row) {
    const float* const scores = job.scores + row * job.width;
    T* const out = job.exponentials + row * job.width;
    const auto visible = std::min(job.visible + row, job.width);
    const float most = largest(scores, visible);
    const auto shift = hn::Set(floats, most);
    const auto exponential = [&](FloatVector score)
                                 HWY_ATTR { return exp2_of(hn::Mul(hn::Sub(score, shift), factor)); };
    auto sum = hn::Zero(floats);
    std::size_t i = 0;
    for (; i + lanes <= visible; i += lanes) {
      const auto x = exponential(load(scores + i));
      sum = hn::Add(sum, x);
      store(x, out + i);
    }
    if (i < visible) {
      const auto left = visible - i;
      const auto x = hn::IfThenElseZero(hn::FirstN(floats, left), exponential(load_some(scores + i, left)));
      sum = hn::Add(sum, x);
      store_some(x, out + i, left);
    }
    std::fill(out + visible, out + job.width, T{});
    job.sums[row] = hn::GetLane(hn::SumOfLanes(floats, sum));
    if (job.log_sums != nullptr) job.log_sums[row] = job.scale * most + std::log(job.sums[row]);
  }
}

template <typename T>
void divide_rows_of(Rows<T> out, const float* in, const float* divisors, std::size_t rows, std::size_t width) {
  const Floats floats;
  const std::size_t lanes = hn::Lanes(floats);
  for (std::size_t row = 0; row < rows; ++row) {
    const float* const from = in + row * width;
    T* const to = out[row];
    const auto divisor = hn::Set(floats, divisors[row]);
    std::size_t i = 0;
    for (; i + lanes <= width; i += lanes) store(hn::Div(load(from + i), divisor), to + i);
    if (i < width) store_some(hn::Div(load_some(from + i, width - i), divisor), to + i, width - i);
  }
}

template <typename T>
void rotate_heads(Rows<T> out, Rows<const T> in, const float* cos, const float* sin, std::size_t heads,
                  std::size_t half) {
  const std::size_t lanes = hn::Lanes(Floats());
  for (std::size_t head = 0; head < heads; ++head) {
    const T* const first = in[head];
    const T* const second = first + half;
    T* const to = out[head];
    std::size_t i = 0;
    for (; i + lanes <= half; i += lanes) {
      const auto a = load(first + i);
      const auto b = load(second + i);
      const auto c = load(cos + i);
      const auto s = load(sin + i);
      store(hn::NegMulAdd(b, s, hn::Mul(a, c)), to + i);
      store(hn::MulAdd(a, s, hn::Mul(b, c)), to + half + i);
    }
    const auto left = half - i;
    if (left == 0) continue;
    const auto a = load_some(first + i, left);
    const auto b = load_some(second + i, left);
    const auto c = load_some(cos + i, left);
    const auto s = load_some(sin + i, left);
    store_some(hn::NegMulAdd(b, s, hn::Mul(a, c)), to + i, left);
    store_some(hn::MulAdd(a, s, hn::Mul(b, c)), to + half + i, left);
  }
}

// One name a type: the table of instruction sets holds no overloads and no templates.
void sum_fp32(float* out, std::span<const float* const> terms, std::size_t count) { sum_of(out, terms, count); }
void sum_bf16(Bf16* out, std::span<const Bf16* const> terms, std::size_t count) { sum_of(out, terms, count); }
void add_norm_fp32(const AddNorm<float>& job) { add_norm_rows(job); }
void add_norm_bf16(const AddNorm<Bf16>& job) { add_norm_rows(job); }
void add_norm_backward_fp32(const AddNormBackward<float>& job) { add_norm_backward_rows(job); }
void add_norm_backward_bf16(const AddNormBackward<Bf16>& job) { add_norm_backward_rows(job); }
void swiglu_backward_fp32(Rows<float> out, Rows<float> gate, Rows<float> up, std::size_t rows, std::size_t width) {
  swiglu_backward_rows(out, gate, up, rows, width);
}
void swiglu_backward_bf16(Rows<Bf16> out, Rows<Bf16> gate, Rows<Bf16> up, std::size_t rows, std::size_t width) {
  swiglu_backward_rows(out, gate, up, rows, width);
}
void softmax_sums_fp32(Rows<const float> logits, float* maxima, float* sums, std::size_t rows, std::size_t width) {
  softmax_sums_of(logits, maxima, sums, rows, width);
}
void softmax_sums_bf16(Rows<const Bf16> logits, float* maxima, float* sums, std::size_t rows, std::size_t width) {
  softmax_sums_of(logits, maxima, sums, rows, width);
}
void scaled_softmax_fp32(Rows<float> logits, const float* log_sums, float scale, std::size_t rows, std::size_t width) {
  scaled_softmax_of(logits, log_sums, scale, rows, width);
}
void scaled_softmax_bf16(Rows<Bf16> logits, const float* log_sums, float scale, std::size_t rows, std::size_t width) {
  scaled_softmax_of(logits, log_sums, scale, rows, width);
}
void adamw_fp32(const AdamW<float, float>& job) { adamw_of(job); }
void adamw_bf16(const AdamW<Bf16, Bf16>& job) { adamw_of(job); }
void adamw_mixed(const AdamW<Bf16, float>& job) { adamw_of(job); }
void swiglu_fp32(Rows<float> out, Rows<const float> gate, Rows<const float> up, std::size_t rows, std::size_t width) {
  swiglu_rows(out, gate, up, rows, width);
}
void swiglu_bf16(Rows<Bf16> out, Rows<const Bf16> gate, Rows<const Bf16> up, std::size_t rows, std::size_t width) {
  swiglu_rows(out, gate, up, rows, width);
}
void causal_exponentials_fp32(const CausalRows<float>& job) { causal_exponentials_of(job); }
void causal_exponentials_bf16(const CausalRows<Bf16>& job) { causal_exponentials_of(job); }
void divide_rows_fp32(Rows<float> out, const float* in, const float* divisors, std::size_t rows, std::size_t width) {
  divide_rows_of(out, in, divisors, rows, width);
}
void divide_rows_bf16(Rows<Bf16> out, const float* in, const float* divisors, std::size_t rows, std::size_t width) {
  divide_rows_of(out, in, divisors, rows, width);
}
void rotate_fp32(Rows<float> out, Rows<const float> in, const float* cos, const float* sin, std::size_t heads,
                 std::size_t half) {
  rotate_heads(out, in, cos, sin, heads, half);
}
void rotate_bf16(Rows<Bf16> out, Rows<const Bf16> in, const float* cos, const float* sin, std::size_t heads,
                 std::size_t half) {
  rotate_heads(out, in, cos, sin, heads, half);
}

// Twelve chains hide the latency of an instruction: four or five cycles, two instructions each.
double multiply_add_fp32(std::size_t rounds, float* result) {
  const Floats floats;
  const auto factor = hn::Set(floats, 0.5F);
  const auto term = hn::Set(floats, 1.0F);
  const auto first = [&](float start) { return hn::Set(floats, start + *result); };  // twelve that are not the same
  auto a = first(0), b = first(1), c = first(2), d = first(3), e = first(4), f = first(5);
  auto g = first(6), h = first(7), i = first(8), j = first(9), k = first(10), l = first(11);
  for (std::size_t round = 0; round < rounds; ++round) {
    a = hn::MulAdd(a, factor, term), b = hn::MulAdd(b, factor, term), c = hn::MulAdd(c, factor, term);
    d = hn::MulAdd(d, factor, term), e = hn::MulAdd(e, factor, term), f = hn::MulAdd(f, factor, term);
    g = hn::MulAdd(g, factor, term), h = hn::MulAdd(h, factor, term), i = hn::MulAdd(i, factor, term);
    j = hn::MulAdd(j, factor, term), k = hn::MulAdd(k, factor, term), l = hn::MulAdd(l, factor, term);
  }
  const auto half = hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, d)), hn::Add(e, f));
  const auto sums = hn::Add(half, hn::Add(hn::Add(hn::Add(g, h), hn::Add(i, j)), hn::Add(k, l)));
  *result = hn::GetLane(sums);
  return 2.0 * 12.0 * static_cast<double>(hn::Lanes(floats)) * static_cast<double>(rounds);
}
const char* name_of_target() { return hwy::TargetName(HWY_TARGET); }

}  // namespace tpsp::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tpsp::kernels {

HWY_EXPORT(sum_fp32);
HWY_EXPORT(sum_bf16);
HWY_EXPORT(add_norm_fp32);
HWY_EXPORT(add_norm_bf16);
HWY_EXPORT(add_norm_backward_fp32);
HWY_EXPORT(add_norm_backward_bf16);
HWY_EXPORT(swiglu_backward_fp32);
HWY_EXPORT(swiglu_backward_bf16);
HWY_EXPORT(softmax_sums_fp32);
HWY_EXPORT(softmax_sums_bf16);
HWY_EXPORT(scaled_softmax_fp32);
HWY_EXPORT(scaled_softmax_bf16);
HWY_EXPORT(adamw_fp32);
HWY_EXPORT(adamw_bf16);
HWY_EXPORT(adamw_mixed);
HWY_EXPORT(swiglu_fp32);
HWY_EXPORT(swiglu_bf16);
HWY_EXPORT(causal_exponentials_fp32);
HWY_EXPORT(causal_exponentials_bf16);
HWY_EXPORT(divide_rows_fp32);
HWY_EXPORT(divide_rows_bf16);
HWY_EXPORT(rotate_fp32);
HWY_EXPORT(rotate_bf16);
HWY_EXPORT(multiply_add_fp32);
HWY_EXPORT(name_of_target);

void sum(float* out, std::span<const float* const> terms, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(sum_fp32)(out, terms, count);
}
void sum(Bf16* out, std::span<const Bf16* const> terms, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(sum_bf16)(out, terms, count);
}
void add_norm(const AddNorm<float>& job) { HWY_DYNAMIC_DISPATCH(add_norm_fp32)(job); }
void add_norm(const AddNorm<Bf16>& job) { HWY_DYNAMIC_DISPATCH(add_norm_bf16)(job); }
void add_norm_backward(const AddNormBackward<float>& job) { HWY_DYNAMIC_DISPATCH(add_norm_backward_fp32)(job); }
void add_norm_backward(const AddNormBackward<Bf16>& job) { HWY_DYNAMIC_DISPATCH(add_norm_backward_bf16)(job); }
void swiglu_backward(Rows<float> out, Rows<float> gate, Rows<float> up, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(swiglu_backward_fp32)(out, gate, up, rows, width);
}
void swiglu_backward(Rows<Bf16> out, Rows<Bf16> gate, Rows<Bf16> up, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(swiglu_backward_bf16)(out, gate, up, rows, width);
}
void softmax_sums(Rows<const float> logits, float* maxima, float* sums, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(softmax_sums_fp32)(logits, maxima, sums, rows, width);
}
void softmax_sums(Rows<const Bf16> logits, float* maxima, float* sums, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(softmax_sums_bf16)(logits, maxima, sums, rows, width);
}
void scaled_softmax(Rows<float> logits, const float* log_sums, float scale, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(scaled_softmax_fp32)(logits, log_sums, scale, rows, width);
}
void scaled_softmax(Rows<Bf16> logits, const float* log_sums, float scale, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(scaled_softmax_bf16)(logits, log_sums, scale, rows, width);
}
void adamw(const AdamW<float, float>& job) { HWY_DYNAMIC_DISPATCH(adamw_fp32)(job); }
void adamw(const AdamW<Bf16, Bf16>& job) { HWY_DYNAMIC_DISPATCH(adamw_bf16)(job); }
void adamw(const AdamW<Bf16, float>& job) { HWY_DYNAMIC_DISPATCH(adamw_mixed)(job); }
void swiglu(Rows<float> out, Rows<const float> gate, Rows<const float> up, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(swiglu_fp32)(out, gate, up, rows, width);
}
void swiglu(Rows<Bf16> out, Rows<const Bf16> gate, Rows<const Bf16> up, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(swiglu_bf16)(out, gate, up, rows, width);
}
void causal_exponentials(const CausalRows<float>& job) { HWY_DYNAMIC_DISPATCH(causal_exponentials_fp32)(job); }
void causal_exponentials(const CausalRows<Bf16>& job) { HWY_DYNAMIC_DISPATCH(causal_exponentials_bf16)(job); }
void divide_rows(Rows<float> out, const float* in, const float* divisors, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(divide_rows_fp32)(out, in, divisors, rows, width);
}
void divide_rows(Rows<Bf16> out, const float* in, const float* divisors, std::size_t rows, std::size_t width) {
  HWY_DYNAMIC_DISPATCH(divide_rows_bf16)(out, in, divisors, rows, width);
}
void rotate(Rows<float> out, Rows<const float> in, const float* cos, const float* sin, std::size_t heads,
            std::size_t half) {
  HWY_DYNAMIC_DISPATCH(rotate_fp32)(out, in, cos, sin, heads, half);
}
void rotate(Rows<Bf16> out, Rows<const Bf16> in, const float* cos, const float* sin, std::size_t heads,
            std::size_t half) {
  HWY_DYNAMIC_DISPATCH(rotate_bf16)(out, in, cos, sin, heads, half);
}
double multiply_add(std::size_t rounds, float* result) {
  return HWY_DYNAMIC_DISPATCH(multiply_add_fp32)(rounds, result);
}
std::string instruction_set() { return HWY_DYNAMIC_DISPATCH(name_of_target)(); }

}  // namespace tpsp::kernels
#endif
