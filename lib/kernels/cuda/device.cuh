// What the kernels share: packs of 16 bytes, bfloat16, sums over a block, launches. Compiled by nvcc; and, for tests
// on machines without a GPU, as C++ with a stand-in for the device (TPSP_CUDA_ON_HOST).
#pragma once

#ifdef TPSP_CUDA_ON_HOST
#include "cuda_on_host.h"
#define TPSP_UNROLL
#else
#include <cuda_runtime.h>
#define TPSP_UNROLL _Pragma("unroll")
#endif

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "tpsp/kernels/cuda.h"

namespace tpsp::kernels::cuda {

inline constexpr int warp = 32;
/// Of a grid's second dimension; few in tests, so that rows are left for a block's second turn.
#ifdef TPSP_CUDA_ON_HOST
inline constexpr std::size_t most_blocks_of_rows = 2;
#else
inline constexpr std::size_t most_blocks_of_rows = 65535;
#endif
inline constexpr std::size_t pack_bytes = 16;

/// Elements that move in one access.
template <typename T, int N>
struct alignas(N * sizeof(T)) Pack {
  T at[N];
};

template <typename T, int N>
__device__ Pack<T, N> load(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}

template <typename T, int N>
__device__ void store(const Pack<T, N>& pack, T* to) {
  *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

__device__ inline float value_of(float x) { return x; }
__device__ inline float value_of(Bf16 x) { return __uint_as_float(std::uint32_t{x.bits} << 16); }

template <typename T>
__device__ T rounded(float x);
template <>
__device__ inline float rounded<float>(float x) {
  return x;
}
template <>
__device__ inline Bf16 rounded<Bf16>(float x) {
#ifdef __CUDA_ARCH__
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return {bits};
#else
  const std::uint32_t bits = __float_as_uint(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return {0x7FC0};
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
#endif
}

/// The sum over all threads of the block, on each of them. `sums` has an element for each warp.
__device__ inline float block_sum(float mine, float* sums) {
  for (int lanes = warp / 2; lanes > 0; lanes /= 2) mine += __shfl_xor_sync(0xFFFFFFFFU, mine, lanes);
  if (threadIdx.x % warp == 0) sums[threadIdx.x / warp] = mine;
  __syncthreads();
  float total = 0;
  for (unsigned i = 0; i < blockDim.x / warp; ++i) total += sums[i];
  return total;
}

inline std::size_t ceil_divide(std::size_t a, std::size_t b) { return (a + b - 1) / b; }

/// Threads of a block for so many items: whole warps, up to `most`.
inline unsigned threads_for(std::size_t items, unsigned most) {
  const auto threads = ceil_divide(items == 0 ? 1 : items, warp) * warp;
  return threads < most ? static_cast<unsigned>(threads) : most;
}

/// Whether rows of `width` elements at these addresses, and these elements apart, can move in packs.
template <typename T>
bool move_in_packs(std::size_t width, std::initializer_list<const void*> addresses,
                   std::initializer_list<std::size_t> strides) {
  constexpr std::size_t elements = pack_bytes / sizeof(T);
  bool all = width % elements == 0;
  for (const void* const address : addresses) all = all && reinterpret_cast<std::uintptr_t>(address) % pack_bytes == 0;
  for (const auto stride : strides) all = all && stride % elements == 0;
  return all;
}

/// Calls `run(N)`, N an integral constant: the elements of a pack.
template <typename T, typename Run>
void with_pack(bool in_packs, const Run& run) {
  constexpr int elements = pack_bytes / sizeof(T);
  if (in_packs) {
    run(std::integral_constant<int, elements>());
  } else {
    run(std::integral_constant<int, 1>());
  }
}

/// Starts `kernel(job)` on a grid of blocks of `threads`.
template <typename Job>
void launch(const char* name, void (*kernel)(Job), dim3 blocks, unsigned threads, const Job& job, Stream stream) {
#ifdef TPSP_CUDA_ON_HOST
  run_on_host(kernel, blocks, threads, job);
  (void)name;
  (void)stream;
#else
  kernel<<<blocks, threads, 0, stream>>>(job);
  const auto result = cudaGetLastError();
  if (result == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA: kernel ") + name + " was not started: " + cudaGetErrorString(result));
#endif
}

}  // namespace tpsp::kernels::cuda
