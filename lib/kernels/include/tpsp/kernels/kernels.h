// The elementwise operations between two GEMMs of a forward and of its backward, each in one pass over memory. SIMD for
// the CPU at run time (Highway), with a scalar path; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tpsp::kernels {

/// A bfloat16 as its bits. Arithmetic is in fp32; results are rounded once, to nearest even.
struct Bf16 {
  std::uint16_t bits;
};

/// out[i] = terms[0][i] + terms[1][i] + ..., added in that order in fp32; 0 where there are no terms. `out` may be one
/// of the terms.
void sum(float* out, std::span<const float* const> terms, std::size_t count);
void sum(Bf16* out, std::span<const Bf16* const> terms, std::size_t count);

/// Rows of `width` elements, all contiguous.
template <typename T>
struct AddNorm {
  std::span<const T* const> terms;  ///< their sum, rounded, is added to `stream`; may be empty
  const T* stream;
  T* sum;           ///< out, where there are terms: the stream with their sum; may be `stream`
  const T* weight;  ///< [width]
  T* normed;        ///< out
  std::size_t rows;
  std::size_t width;
  float eps;
};
/// sum = stream + the sum of the terms; normed = sum / sqrt(mean(sum^2) + eps) * weight, row by row (RMSNorm, Zhang
/// and Sennrich, arXiv:1910.07467).
void add_norm(const AddNorm<float>& job);
void add_norm(const AddNorm<Bf16>& job);

/// The backward of add_norm. Rows of `width` elements, all contiguous.
template <typename T>
struct AddNormBackward {
  std::span<const T* const> terms;  ///< their sum, rounded, is the gradient of `normed`
  const T* input;                   ///< what was normalised: `sum` of the forward
  const T* weight;                  ///< [width]
  T* gradient;                      ///< of `sum`; out, and in where `adds`
  bool adds;                        ///< whether the norm's part is added to what `gradient` holds
  float* weight_gradient;           ///< [width], added to
  std::size_t rows;
  std::size_t width;
  float eps;
};
/// With r = 1 / sqrt(mean(input^2) + eps) and g the gradient of `normed`, row by row:
///   gradient (+)= r * (g * weight - input * r^2 * mean(g * weight * input));  weight_gradient += g * input * r.
void add_norm_backward(const AddNormBackward<float>& job);
void add_norm_backward(const AddNormBackward<Bf16>& job);

/// A matrix whose rows lie `stride` elements apart.
template <typename T>
struct Rows {
  T* data;
  std::size_t stride;

  T* operator[](std::size_t row) const { return data + row * stride; }
};

/// out = silu(gate) * up with silu(x) = x / (1 + exp(-x)) (SwiGLU, Shazeer, arXiv:2002.05202). `out` may be `gate`.
void swiglu(Rows<float> out, Rows<const float> gate, Rows<const float> up, std::size_t rows, std::size_t width);
void swiglu(Rows<Bf16> out, Rows<const Bf16> gate, Rows<const Bf16> up, std::size_t rows, std::size_t width);

/// The backward of swiglu, over its operands: with s = 1 / (1 + exp(-gate)) and g what `out` holds, the gradient of the
/// result,
///   gate = g * up * s * (1 + gate * (1 - s));  up = g * gate * s;  out = silu(gate) * up.
void swiglu_backward(Rows<float> out, Rows<float> gate, Rows<float> up, std::size_t rows, std::size_t width);
void swiglu_backward(Rows<Bf16> out, Rows<Bf16> gate, Rows<Bf16> up, std::size_t rows, std::size_t width);

/// maxima = the largest of a row, sums = the sum of exp(x - the largest): softmax's denominator, of logits that may be
/// a part of a row's. A width of 0 gives -infinity and 0.
void softmax_sums(Rows<const float> logits, float* maxima, float* sums, std::size_t rows, std::size_t width);
void softmax_sums(Rows<const Bf16> logits, float* maxima, float* sums, std::size_t rows, std::size_t width);

/// logits = scale * exp(logits - log_sums), row by row: the softmax, scaled.
void scaled_softmax(Rows<float> logits, const float* log_sums, float scale, std::size_t rows, std::size_t width);
void scaled_softmax(Rows<Bf16> logits, const float* log_sums, float scale, std::size_t rows, std::size_t width);

/// `T` of the weight, `G` of its gradient.
template <typename T, typename G>
struct AdamW {
  T* weight;      ///< in and out
  float* master;  ///< the weight in fp32, in and out, of which `weight` is the rounded copy; null for fp32 weights
  const G* gradient;
  float* mean;    ///< of gradients: the first moment, in and out
  float* square;  ///< of gradients, mean: the second moment, in and out
  std::size_t count;
  float beta1;
  float beta2;
  float eps;
  float step_size;   ///< learning rate / (1 - beta1^step)
  float root_scale;  ///< 1 / sqrt(1 - beta2^step)
  float kept;        ///< 1 - learning rate * weight decay
};
/// One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101), in one pass over memory:
///   mean = beta1 * mean + (1 - beta1) * g;  square = beta2 * square + (1 - beta2) * g^2;
///   weight = kept * weight - step_size * mean / (sqrt(square) * root_scale + eps).
void adamw(const AdamW<float, float>& job);
void adamw(const AdamW<Bf16, Bf16>& job);
void adamw(const AdamW<Bf16, float>& job);

/// Some rows of the scores of causal attention, one query each: the first sees `visible` keys, every further one sees
/// one more, and no row more than `width`.
template <typename T>
struct CausalRows {
  const float* scores;        ///< [rows, width]
  T* exponentials;            ///< [rows, width], out; may be the scores
  float* sums;                ///< [rows], out
  float* log_sums = nullptr;  ///< [rows], out: log of the sum of exp(scale * score); may be null
  std::size_t rows;
  std::size_t width;
  std::size_t visible;
  float scale;
};
/// exponentials = exp(x), x = scale * (score - the row's largest), for the keys that a row sees, and 0 for the others;
/// sums = a row's sum of them. The softmax is their quotient. Before it is rounded an exponential has a relative error
/// of at most 2^-22 (1 + |x|) down to 2^-126, which smaller ones become.
void causal_exponentials(const CausalRows<float>& job);
void causal_exponentials(const CausalRows<Bf16>& job);

/// out = in / divisors, row by row. `in`: [rows, width], `divisors`: [rows].
void divide_rows(Rows<float> out, const float* in, const float* divisors, std::size_t rows, std::size_t width);
void divide_rows(Rows<Bf16> out, const float* in, const float* divisors, std::size_t rows, std::size_t width);

/// Rotates the heads of one token, the pairs (i, i + half) of each by the angle whose cosine and sine are given: rotary
/// positions (Su et al., arXiv:2104.09864) in the order that Hugging Face's LLaMA has them. A row of `in` and `out` is
/// a head, [2 half]; `cos` and `sin`: [half], fp32. `out` may be `in`.
void rotate(Rows<float> out, Rows<const float> in, const float* cos, const float* sin, std::size_t heads,
            std::size_t half);
void rotate(Rows<Bf16> out, Rows<const Bf16> in, const float* cos, const float* sin, std::size_t heads,
            std::size_t half);

/// Multiplies and adds in registers alone, `rounds` times in twelve independent vectors, and returns the FLOP that it
/// did: the rate is the fp32 arithmetic peak of one thread at its present clock. `result` keeps the sums.
double multiply_add(std::size_t rounds, float* result);

/// The instruction set in use, "AVX3".
std::string instruction_set();

}  // namespace tpsp::kernels
