// Rotary positions of queries and keys, and the copy of values, from rows of features to heads. A block has a token.
#include "device.cuh"

namespace tpsp::kernels::cuda {
namespace {

template <typename T, int N>
__device__ void turn(const RotateHeads<T>& job, const Heads<T>& heads, std::size_t head, std::size_t pair) {
  const std::size_t s = blockIdx.x / job.batch;
  const std::size_t b = blockIdx.x % job.batch;
  const T* const from = heads.in + s * heads.seq_stride + b * heads.batch_stride + head * heads.head_stride + pair;
  T* const to = heads.out + ((b * heads.heads + head) * job.seq + s) * 2 * job.half + pair;
  auto first = load<T, N>(from);
  auto second = load<T, N>(from + job.half);
  if (heads.turned) {
    for (int i = 0; i < N; ++i) {
      const float cos = job.cos[s * job.half + pair + i];
      const float sin = job.sin[s * job.half + pair + i];
      const float x = value_of(first.at[i]);
      const float y = value_of(second.at[i]);
      first.at[i] = rounded<T>(x * cos - y * sin);
      second.at[i] = rounded<T>(y * cos + x * sin);
    }
  }
  store(first, to);
  store(second, to + job.half);
}

template <typename T, int N>
__global__ void rotate_kernel(RotateHeads<T> job) {
  const std::size_t packs = job.half / N;  // of half a head
  const std::size_t queries = job.each[0].heads;
  const std::size_t keys = queries + job.each[1].heads;
  const std::size_t heads = keys + job.each[2].heads;
  for (std::size_t item = threadIdx.x; item < heads * packs; item += blockDim.x) {
    const std::size_t head = item / packs;
    const std::size_t pair = item % packs * N;
    if (head < queries) {
      turn<T, N>(job, job.each[0], head, pair);
    } else if (head < keys) {
      turn<T, N>(job, job.each[1], head - queries, pair);
    } else {
      turn<T, N>(job, job.each[2], head - keys, pair);
    }
  }
}

template <typename T>
void run(const RotateHeads<T>& job, Stream stream) {
  constexpr unsigned most_threads = 512;
  const auto tokens = job.seq * job.batch;
  if (tokens == 0 || job.half == 0) return;
  bool in_packs = true;
  std::size_t all_heads = 0;
  for (const auto& heads : job.each) {
    all_heads += heads.heads;
    in_packs = in_packs && move_in_packs<T>(job.half, {heads.in, heads.out},
                                            {heads.seq_stride, heads.batch_stride, heads.head_stride});
  }
  with_pack<T>(in_packs, [&](auto elements) {
    constexpr int n = decltype(elements)::value;
    launch("rotate", rotate_kernel<T, n>, dim3(static_cast<unsigned>(tokens)),
           threads_for(all_heads * job.half / n, most_threads), job, stream);
  });
}

}  // namespace

void rotate(const RotateHeads<float>& job, Stream stream) { run(job, stream); }
void rotate(const RotateHeads<Bf16>& job, Stream stream) { run(job, stream); }

}  // namespace tpsp::kernels::cuda
