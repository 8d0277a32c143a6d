// silu(gate) * up.
#include <algorithm>

#include "device.cuh"

namespace tpsp::kernels::cuda {
namespace {

template <typename T>
struct SwigluJob {
  Rows<T> out;
  Rows<const T> gate;
  Rows<const T> up;
  std::size_t rows;
  std::size_t packs;  ///< of a row
};

__device__ inline float silu(float x, float) { return x / (1.0F + expf(-x)); }
// What a bfloat16 rounds away need not be computed: the error is below 2^-18.
__device__ inline float silu(float x, Bf16) { return __fdividef(x, 1.0F + __expf(-x)); }

template <typename T, int N>
__global__ void swiglu_kernel(SwigluJob<T> job) {
  const std::size_t pack = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x;
  if (pack >= job.packs) return;
  for (std::size_t row = blockIdx.y; row < job.rows; row += gridDim.y) {
    auto gate = load<T, N>(job.gate.data + row * job.gate.stride + pack * N);
    const auto up = load<T, N>(job.up.data + row * job.up.stride + pack * N);
    for (int i = 0; i < N; ++i) gate.at[i] = rounded<T>(silu(value_of(gate.at[i]), T{}) * value_of(up.at[i]));
    store(gate, job.out.data + row * job.out.stride + pack * N);
  }
}

template <typename T>
void run(const SwigluJob<T>& rows, std::size_t width, Stream stream) {
  constexpr unsigned most_threads = 256;
  if (rows.rows == 0 || width == 0) return;
  const bool in_packs = move_in_packs<T>(width, {rows.out.data, rows.gate.data, rows.up.data},
                                         {rows.out.stride, rows.gate.stride, rows.up.stride});
  with_pack<T>(in_packs, [&](auto elements) {
    constexpr int n = decltype(elements)::value;
    auto job = rows;
    job.packs = width / n;
    const auto threads = threads_for(job.packs, most_threads);
    const dim3 blocks(static_cast<unsigned>(ceil_divide(job.packs, threads)),
                      static_cast<unsigned>(std::min(job.rows, most_blocks_of_rows)));
    launch("swiglu", swiglu_kernel<T, n>, blocks, threads, job, stream);
  });
}

}  // namespace

void swiglu(Rows<float> out, Rows<const float> gate, Rows<const float> up, std::size_t rows, std::size_t width,
            Stream stream) {
  run(SwigluJob<float>{out, gate, up, rows, 0}, width, stream);
}
void swiglu(Rows<Bf16> out, Rows<const Bf16> gate, Rows<const Bf16> up, std::size_t rows, std::size_t width,
            Stream stream) {
  run(SwigluJob<Bf16>{out, gate, up, rows, 0}, width, stream);
}

}  // namespace tpsp::kernels::cuda
