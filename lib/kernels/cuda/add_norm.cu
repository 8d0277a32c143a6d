// Residual add and RMSNorm. A block has a row: its packs stay in registers between the sum of squares and the scaling,
// so that memory is read and written once.
#include "device.cuh"

namespace tpsp::kernels::cuda {
namespace {

/// Packs of a row that a thread keeps; it reads those of longer rows again.
constexpr unsigned most_held = 4;
constexpr unsigned most_threads = 1024;

template <typename T>
struct AddNormJob {
  const T* term;  ///< null where nothing is added
  const T* stream;
  T* sum;
  const T* weight;
  T* normed;
  std::size_t packs;  ///< of a row
  float width;
  float eps;
};

// The stream's pack with the term's, as it is stored; adds its squares to `squares`.
template <typename T, int N>
__device__ Pack<T, N> added(const AddNormJob<T>& job, std::size_t at, float& squares) {
  auto pack = load<T, N>(job.stream + at);
  if (job.term != nullptr) {
    const auto term = load<T, N>(job.term + at);
    for (int i = 0; i < N; ++i) pack.at[i] = rounded<T>(value_of(pack.at[i]) + value_of(term.at[i]));
    store(pack, job.sum + at);
  }
  for (int i = 0; i < N; ++i) squares += value_of(pack.at[i]) * value_of(pack.at[i]);
  return pack;
}

template <typename T, int N>
__device__ void scale(const AddNormJob<T>& job, Pack<T, N> pack, std::size_t row, std::size_t column, float inverse) {
  const auto weight = load<T, N>(job.weight + column);
  for (int i = 0; i < N; ++i) pack.at[i] = rounded<T>(value_of(pack.at[i]) * inverse * value_of(weight.at[i]));
  store(pack, job.normed + row + column);
}

template <typename T, int N>
__global__ void add_norm_kernel(AddNormJob<T> job) {
  __shared__ float sums[most_threads / warp];
  const std::size_t row = blockIdx.x * job.packs * N;
  const std::size_t first_not_held = threadIdx.x + std::size_t{most_held} * blockDim.x;
  Pack<T, N> held[most_held] = {};
  float squares = 0;
  TPSP_UNROLL
  for (unsigned i = 0; i < most_held; ++i) {
    const std::size_t pack = threadIdx.x + std::size_t{i} * blockDim.x;
    if (pack < job.packs) held[i] = added<T, N>(job, row + pack * N, squares);
  }
  for (auto pack = first_not_held; pack < job.packs; pack += blockDim.x) added<T, N>(job, row + pack * N, squares);
  const float inverse = 1.0F / sqrtf(block_sum(squares, sums) / job.width + job.eps);
  TPSP_UNROLL
  for (unsigned i = 0; i < most_held; ++i) {
    const std::size_t pack = threadIdx.x + std::size_t{i} * blockDim.x;
    if (pack < job.packs) scale(job, held[i], row, pack * N, inverse);
  }
  const T* const written = job.term != nullptr ? job.sum : job.stream;
  for (auto pack = first_not_held; pack < job.packs; pack += blockDim.x) {
    scale(job, load<T, N>(written + row + pack * N), row, pack * N, inverse);
  }
}

template <typename T>
void run(const AddNorm<T>& job, Stream stream) {
  if (job.rows == 0) return;
  if (job.terms.size() > 1) throw std::runtime_error("CUDA: add_norm sums one term, not several");
  const T* const term = job.terms.empty() ? nullptr : job.terms.front();
  const bool in_packs = move_in_packs<T>(job.width, {term, job.stream, job.sum, job.weight, job.normed}, {});
  with_pack<T>(in_packs, [&](auto elements) {
    constexpr int n = decltype(elements)::value;
    const auto packs = job.width / n;
    const AddNormJob<T> rows{.term = term,
                             .stream = job.stream,
                             .sum = job.sum,
                             .weight = job.weight,
                             .normed = job.normed,
                             .packs = packs,
                             .width = static_cast<float>(job.width),
                             .eps = job.eps};
    // Two packs a thread where that fills the block: enough reads under way, and no thread without work.
    const auto threads = threads_for(ceil_divide(packs, 2), most_threads);
    launch("add_norm", add_norm_kernel<T, n>, dim3(static_cast<unsigned>(job.rows)), threads, rows, stream);
  });
}

}  // namespace

void add_norm(const AddNorm<float>& job, Stream stream) { run(job, stream); }
void add_norm(const AddNorm<Bf16>& job, Stream stream) { run(job, stream); }

}  // namespace tpsp::kernels::cuda
