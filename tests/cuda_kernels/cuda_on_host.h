// A stand-in for the device: the threads of a block are threads of the host, the blocks run one after the other. Slow,
// and enough to show that a kernel's indices, barriers and arithmetic are right.
#pragma once

#include <algorithm>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static  // of one block at a time

struct dim3 {
  constexpr dim3(unsigned of_x = 1, unsigned of_y = 1, unsigned of_z = 1) : x(of_x), y(of_y), z(of_z) {}
  unsigned x;
  unsigned y;
  unsigned z;
};

inline thread_local dim3 threadIdx;
inline thread_local dim3 blockIdx;
inline dim3 blockDim;
inline dim3 gridDim;

namespace tpsp::cuda_on_host {

constexpr unsigned lanes = 32;

/// What the threads of the running kernel share.
struct Block {
  explicit Block(unsigned threads) : all(static_cast<std::ptrdiff_t>(threads)), values(threads) {
    for (unsigned first = 0; first < threads; first += lanes) {
      warps.push_back(std::make_unique<std::barrier<>>(static_cast<std::ptrdiff_t>(std::min(lanes, threads - first))));
    }
  }
  std::barrier<> all;
  std::vector<std::unique_ptr<std::barrier<>>> warps;
  std::vector<float> values;  ///< of a shuffle, one a thread
};
inline Block* block = nullptr;

}  // namespace tpsp::cuda_on_host

inline void __syncthreads() { tpsp::cuda_on_host::block->all.arrive_and_wait(); }

inline float __shfl_xor_sync(unsigned, float mine, int lanes) {
  auto& block = *tpsp::cuda_on_host::block;
  auto& warp = *block.warps.at(threadIdx.x / tpsp::cuda_on_host::lanes);
  block.values.at(threadIdx.x) = mine;
  warp.arrive_and_wait();
  const float theirs = block.values.at(threadIdx.x ^ static_cast<unsigned>(lanes));
  warp.arrive_and_wait();
  return theirs;
}

inline float __uint_as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t __float_as_uint(float x) { return std::bit_cast<std::uint32_t>(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }

namespace tpsp::kernels::cuda {

/// As a launch does; returns when the kernel has ended.
template <typename Job>
void run_on_host(void (*kernel)(Job), dim3 blocks, unsigned threads, const Job& job) {
  gridDim = blocks;
  blockDim = dim3(threads);
  cuda_on_host::Block shared(threads);
  cuda_on_host::block = &shared;
  std::vector<std::thread> running;
  for (unsigned thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      threadIdx = dim3(thread);
      for (unsigned y = 0; y < blocks.y; ++y) {
        for (unsigned x = 0; x < blocks.x; ++x) {
          blockIdx = dim3(x, y);
          kernel(job);
          shared.all.arrive_and_wait();
        }
      }
    });
  }
  for (auto& one : running) one.join();
}

}  // namespace tpsp::kernels::cuda
