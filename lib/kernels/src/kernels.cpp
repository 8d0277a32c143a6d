#include "tpsp/kernels/kernels.h"

#include <algorithm>
#include <cmath>

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
  T* const stream = job.stream + base;
  auto squares = hn::Zero(Floats());
  auto more_squares = hn::Zero(Floats());
  const auto one = [&](std::size_t i, FloatVector& into) HWY_ATTR {
    auto x = load(stream + i);
    if (!job.terms.empty()) {
      x = residual_sum(x, sum_at(job.terms, base + i), stream);
      store(x, stream + i);
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
      store_some(x, stream + i, left);
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
    const T* const stream = job.stream + row * job.width;
    T* const normed = job.normed + row * job.width;
    std::size_t i = 0;
    for (; i + lanes <= job.width; i += lanes) {
      store(hn::Mul(hn::Mul(load(stream + i), scale), load(job.weight + i)), normed + i);
    }
    const auto left = job.width - i;
    if (left == 0) continue;
    const auto last = hn::Mul(hn::Mul(load_some(stream + i, left), scale), load_some(job.weight + i, left));
    store_some(last, normed + i, left);
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
    const auto shift = hn::Set(floats, largest(scores, visible));
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
