// Open MPI on host memory. CUDA tensors travel through pinned host buffers, so two ranks may share one GPU.
#include <ATen/ATen.h>

#include <cstddef>

#include "../mpi_check.h"
#include "../mpi_parts.h"
#include "../mpi_world.h"
#include "tpsp/comm/backend.h"
#include "tpsp/comm/dtype.h"

namespace tpsp {
namespace {

// MPI 3.1 knows no bfloat16: it travels as 16-bit words, and this adds them, each sum rounded once.
void add_bfloat16(void* in, void* inout, int* count, MPI_Datatype*) {
  const auto* source = static_cast<const c10::BFloat16*>(in);
  auto* target = static_cast<c10::BFloat16*>(inout);
  for (int i = 0; i < *count; ++i) {
    target[i] = c10::BFloat16(static_cast<float>(target[i]) + static_cast<float>(source[i]));
  }
}

/// An MPI_Op for as long as the object lives.
class Bfloat16Sum {
 public:
  Bfloat16Sum() { TPSP_MPI(MPI_Op_create(&add_bfloat16, /*commute=*/1, &op_)); }
  ~Bfloat16Sum() { MPI_Op_free(&op_); }
  Bfloat16Sum(const Bfloat16Sum&) = delete;
  Bfloat16Sum& operator=(const Bfloat16Sum&) = delete;
  MPI_Op get() const { return op_; }

 private:
  MPI_Op op_ = MPI_OP_NULL;
};

std::size_t count_of(const at::Tensor& tensor) { return static_cast<std::size_t>(tensor.numel()); }

MpiElement element_of(const at::Tensor& tensor) { return mpi_element(dtype_of(tensor.scalar_type())); }

at::Tensor pinned_like(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options().device(at::kCPU).pinned_memory(true));
}

/// `tensor` itself on the CPU, else a pinned copy of it.
at::Tensor host_copy(const at::Tensor& tensor) { return tensor.is_cpu() ? tensor : pinned_like(tensor).copy_(tensor); }

/// `tensor` itself on the CPU, else a pinned buffer of its size, to be copied back.
at::Tensor host_buffer(const at::Tensor& tensor) { return tensor.is_cpu() ? tensor : pinned_like(tensor); }

void copy_back(const at::Tensor& tensor, const at::Tensor& host) {
  if (!tensor.is_cpu()) tensor.copy_(host);
}

bool is_same(const at::Tensor& a, const at::Tensor& b) { return a.const_data_ptr() == b.const_data_ptr(); }

/// Where block `rank` of `ranks` begins.
const void* block_of(const at::Tensor& full, int rank, int ranks) {
  return static_cast<const std::byte*>(full.const_data_ptr()) +
         full.nbytes() / static_cast<std::size_t>(ranks) * static_cast<std::size_t>(rank);
}

class MpiProcessGroup final : public ProcessGroup {
 public:
  explicit MpiProcessGroup(const World& world) : comm_(mpi_comm(world)), rank_(world.rank()), size_(world.size()) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "mpi"; }

  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    const auto mine = host_copy(partial);
    const auto all = is_same(partial, sum) ? mine : host_buffer(sum);
    const void* from = is_same(mine, all) ? MPI_IN_PLACE : mine.const_data_ptr();
    mpi_all_reduce(from, all.data_ptr(), count_of(all), element_of(all), sum_for(all), {comm_});
    copy_back(sum, all);
  }

  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    const auto mine = host_copy(shard);
    const auto all = host_buffer(full);
    const bool in_place = mine.const_data_ptr() == block_of(all, rank_, size_);
    mpi_all_gather(in_place ? MPI_IN_PLACE : mine.const_data_ptr(), all.data_ptr(), count_of(mine), element_of(mine),
                   {comm_});
    copy_back(full, all);
  }

  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    const auto all = host_copy(full);
    const auto mine = host_buffer(shard);
    mpi_reduce_scatter(all.const_data_ptr(), mine.data_ptr(), count_of(mine), element_of(all), sum_for(all), {comm_});
    copy_back(shard, mine);
  }

 private:
  MPI_Op sum_for(const at::Tensor& tensor) const {
    return tensor.scalar_type() == at::kBFloat16 ? bfloat16_sum_.get() : MPI_SUM;
  }

  MPI_Comm comm_;  ///< the world's
  int rank_;
  int size_;
  Bfloat16Sum bfloat16_sum_;
};

std::optional<std::string> refusal(const World& world, at::Device) {
  if (mpi_comm(world) != MPI_COMM_NULL) return std::nullopt;
  return "mpi needs ranks started by mpirun or srun";
}

}  // namespace

Backend mpi_backend() {
  return {.name = "mpi",
          .meaning = "Open MPI on host memory; CUDA tensors through pinned buffers",
          .preference = 20,
          .refusal = refusal,
          .make = [](World& world, at::Device) { return std::make_unique<MpiProcessGroup>(world); }};
}

}  // namespace tpsp
