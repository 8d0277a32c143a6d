// Rows of a vocabulary's shard. A block has a token.
#include "device.cuh"

namespace tpsp::kernels::cuda {
namespace {

template <typename T, int N>
__global__ void embedding_kernel(Lookup<T> job) {
  const std::size_t s = blockIdx.x / job.batch;
  const std::size_t b = blockIdx.x % job.batch;
  const std::int64_t row = job.ids[blockIdx.x] - job.first;
  const bool here = row >= 0 && row < static_cast<std::int64_t>(job.rows);
  T* const to = job.out + s * job.seq_stride + b * job.batch_stride;
  for (std::size_t i = std::size_t{threadIdx.x} * N; i < job.width; i += std::size_t{blockDim.x} * N) {
    store(here ? load<T, N>(job.table + static_cast<std::size_t>(row) * job.width + i) : Pack<T, N>{}, to + i);
  }
}

template <typename T>
void run(const Lookup<T>& job, Stream stream) {
  constexpr unsigned most_threads = 256;
  const auto tokens = job.seq * job.batch;
  if (tokens == 0) return;
  const bool in_packs = move_in_packs<T>(job.width, {job.table, job.out}, {job.seq_stride, job.batch_stride});
  with_pack<T>(in_packs, [&](auto elements) {
    constexpr int n = decltype(elements)::value;
    launch("embedding", embedding_kernel<T, n>, dim3(static_cast<unsigned>(tokens)),
           threads_for(job.width / n, most_threads), job, stream);
  });
}

}  // namespace

void embedding(const Lookup<float>& job, Stream stream) { run(job, stream); }
void embedding(const Lookup<Bf16>& job, Stream stream) { run(job, stream); }

}  // namespace tpsp::kernels::cuda
