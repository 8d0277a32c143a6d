// Weights from integer bits: the same on every processor.
#include <algorithm>

#include "device.cuh"

namespace tpsp::kernels::cuda {
namespace {

__device__ inline std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

template <typename T, int N>
__global__ void fill_kernel(IntegerWeights<T> job) {
  constexpr std::uint64_t golden_gamma = 0x9E3779B97F4A7C15U;
  const std::size_t column = (blockIdx.x * std::size_t{blockDim.x} + threadIdx.x) * N;
  if (column >= job.columns) return;
  for (std::size_t row = blockIdx.y; row < job.rows; row += gridDim.y) {
    const auto first =
        static_cast<std::uint64_t>(job.first) + row * static_cast<std::uint64_t>(job.row_stride) + column;
    Pack<T, N> pack;
    for (int i = 0; i < N; ++i) {
      const auto bits = mixed(job.generator + (first + i + 1) * golden_gamma);
      const auto integer = static_cast<std::int32_t>(bits >> 40) - (1 << 23);
      pack.at[i] = rounded<T>(job.offset + job.scale * static_cast<float>(integer));
    }
    store(pack, job.out + row * job.stride + column);
  }
}

template <typename T>
void run(const IntegerWeights<T>& job, Stream stream) {
  constexpr unsigned most_threads = 256;
  if (job.rows == 0 || job.columns == 0) return;
  with_pack<T>(move_in_packs<T>(job.columns, {job.out}, {job.stride}), [&](auto elements) {
    constexpr int n = decltype(elements)::value;
    const auto threads = threads_for(job.columns / n, most_threads);
    const dim3 blocks(static_cast<unsigned>(ceil_divide(job.columns / n, threads)),
                      static_cast<unsigned>(std::min(job.rows, most_blocks_of_rows)));
    launch("fill", fill_kernel<T, n>, blocks, threads, job, stream);
  });
}

}  // namespace

void fill(const IntegerWeights<float>& job, Stream stream) { run(job, stream); }
void fill(const IntegerWeights<Bf16>& job, Stream stream) { run(job, stream); }

}  // namespace tpsp::kernels::cuda
