// The elementwise operations between two GEMMs on a GPU, each one kernel, one pass over memory. Pointers are of the
// device, calls are ordered by the stream and return at once. fp32 arithmetic; results are rounded once, to nearest
// even. Rows whose width and alignment allow it move in accesses of 16 bytes. Throws std::runtime_error where a
// kernel cannot be started.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tpsp/kernels/kernels.h"

struct CUstream_st;  // CUDA's cudaStream_t is a pointer to it

namespace tpsp::kernels::cuda {

using Stream = CUstream_st*;

/// As on the CPU, of at most one term: no backend of GPUs leaves more of them to be summed.
void add_norm(const AddNorm<float>& job, Stream stream);
void add_norm(const AddNorm<Bf16>& job, Stream stream);

/// The heads of all tokens, `[seq, batch, heads, 2 half]`, of which the last dimension is contiguous.
template <typename T>
struct Heads {
  const T* in;
  std::size_t seq_stride;
  std::size_t batch_stride;
  std::size_t head_stride;
  T* out;  ///< `[batch, heads, seq, 2 half]`
  std::size_t heads;
  bool turned;  ///< by its position; else copied
};
template <typename T>
struct RotateHeads {
  Heads<T> each[3];  ///< queries, keys and values
  const float* cos;  ///< `[seq, half]`
  const float* sin;
  std::size_t seq;
  std::size_t batch;
  std::size_t half;
};
/// Rotary positions of queries and keys and the copy of values, by head: see `rotate` of the CPU.
void rotate(const RotateHeads<float>& job, Stream stream);
void rotate(const RotateHeads<Bf16>& job, Stream stream);

/// out = silu(gate) * up, as on the CPU. `out` may be `gate`.
void swiglu(Rows<float> out, Rows<const float> gate, Rows<const float> up, std::size_t rows, std::size_t width,
            Stream stream);
void swiglu(Rows<Bf16> out, Rows<const Bf16> gate, Rows<const Bf16> up, std::size_t rows, std::size_t width,
            Stream stream);

/// The rows of a table for token ids, zeros for ids that it does not have.
template <typename T>
struct Lookup {
  const T* table;  ///< `[rows, width]`, the global rows first ... first + rows - 1
  std::size_t rows;
  std::int64_t first;
  const std::int64_t* ids;  ///< `[seq, batch]`
  std::size_t seq;
  std::size_t batch;
  T* out;  ///< `[seq, batch, width]` with these strides
  std::size_t seq_stride;
  std::size_t batch_stride;
  std::size_t width;
};
void embedding(const Lookup<float>& job, Stream stream);
void embedding(const Lookup<Bf16>& job, Stream stream);

/// A block of a weight that is a function of each element's index: row r, column c of `out` is offset + scale * k with
/// k the signed 24-bit integer that SplitMix64 (Steele et al., 2014) has at index first + r * row_stride + c.
template <typename T>
struct IntegerWeights {
  T* out;
  std::size_t stride;  ///< elements from row to row of `out`
  std::size_t rows;
  std::size_t columns;
  std::uint64_t generator;  ///< its state at index -1
  std::int64_t first;
  std::int64_t row_stride;
  float offset;
  float scale;
};
void fill(const IntegerWeights<float>& job, Stream stream);
void fill(const IntegerWeights<Bf16>& job, Stream stream);

}  // namespace tpsp::kernels::cuda
