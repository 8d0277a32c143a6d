// NCCL on the current CUDA stream. The unique id travels through World::exchange.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <fmt/format.h>
#include <nccl.h>

#include <cstring>
#include <exception>

#include "tpsp/comm/backend.h"

namespace tpsp {
namespace {

void check_nccl(ncclResult_t result, std::string_view call) {
  if (result == ncclSuccess) return;
  throw Error(ExitCode::rows_not_ok, {.where = "NCCL",
                                      .what = fmt::format("{} failed", call),
                                      .why = ncclGetErrorString(result),
                                      .remedy = "set NCCL_DEBUG=INFO to see more, or use --backend mpi"});
}
#define TPSP_NCCL(call) check_nccl((call), #call)

ncclDataType_t type_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kBFloat16 ? ncclBfloat16 : ncclFloat32;
}

std::size_t count_of(const at::Tensor& tensor) { return static_cast<std::size_t>(tensor.numel()); }

ncclUniqueId shared_id(World& world) {
  ncclUniqueId id{};
  if (world.rank() == 0) TPSP_NCCL(ncclGetUniqueId(&id));
  const auto ids = world.exchange(std::string(id.internal, sizeof id.internal));
  std::memcpy(id.internal, ids.front().data(), sizeof id.internal);
  return id;
}

class NcclProcessGroup final : public ProcessGroup {
 public:
  NcclProcessGroup(World& world, at::Device device) : rank_(world.rank()), size_(world.size()), device_(device) {
    const c10::cuda::CUDAGuard guard(device_);
    TPSP_NCCL(ncclCommInitRank(&comm_, size_, shared_id(world), rank_));
  }
  ~NcclProcessGroup() override {
    // While an error unwinds, the peers may never come to a collective destruction.
    if (std::uncaught_exceptions() > exceptions_at_start_) {
      ncclCommAbort(comm_);
    } else {
      ncclCommDestroy(comm_);
    }
  }
  NcclProcessGroup(const NcclProcessGroup&) = delete;
  NcclProcessGroup& operator=(const NcclProcessGroup&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view backend() const override { return "nccl"; }
  std::optional<std::string> failure() const override {
    ncclResult_t result = ncclSuccess;
    if (ncclCommGetAsyncError(comm_, &result) != ncclSuccess || result == ncclSuccess || result == ncclInProgress) {
      return std::nullopt;
    }
    return fmt::format("\"{}\" from NCCL (NCCL_DEBUG=INFO shows more)", ncclGetErrorString(result));
  }

  void all_reduce(const at::Tensor& partial, const at::Tensor& sum) override {
    TPSP_NCCL(ncclAllReduce(partial.data_ptr(), sum.data_ptr(), count_of(sum), type_of(sum), ncclSum, comm_, stream()));
  }
  void all_gather(const at::Tensor& shard, const at::Tensor& full) override {
    TPSP_NCCL(ncclAllGather(shard.data_ptr(), full.data_ptr(), count_of(shard), type_of(shard), comm_, stream()));
  }
  void reduce_scatter(const at::Tensor& full, const at::Tensor& shard) override {
    TPSP_NCCL(ncclReduceScatter(full.data_ptr(), shard.data_ptr(), count_of(shard), type_of(shard), ncclSum, comm_,
                                stream()));
  }

 private:
  cudaStream_t stream() const { return c10::cuda::getCurrentCUDAStream(device_.index()).stream(); }

  int rank_;
  int size_;
  at::Device device_;
  int exceptions_at_start_ = std::uncaught_exceptions();
  ncclComm_t comm_ = nullptr;
};

std::optional<std::string> refusal(const World&, at::Device device) {
  if (!device.is_cuda()) return "nccl needs CUDA tensors";
  return std::nullopt;
}

}  // namespace

Backend nccl_backend() {
  return {.name = "nccl",
          .meaning = "NCCL, one GPU a rank",
          .preference = 30,
          .device_a_rank = true,
          .refusal = refusal,
          .make = [](World& world, at::Device device) { return std::make_unique<NcclProcessGroup>(world, device); }};
}

}  // namespace tpsp
