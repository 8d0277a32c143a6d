#include "device_cuda.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>

#include "tpsp/core/error.h"

namespace tpsp {
namespace {

void check_cuda(cudaError_t result, std::string_view call) {
  if (result == cudaSuccess) return;
  throw Error(ExitCode::rows_not_ok,
              {.where = "CUDA", .what = fmt::format("{} failed", call), .why = cudaGetErrorString(result)});
}
#define TPSP_CUDA(call) check_cuda((call), #call)

using Stats = c10::CachingDeviceAllocator::DeviceStats;
constexpr auto aggregate = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);

class CudaProbe final : public DeviceProbe {
 public:
  explicit CudaProbe(c10::Device device) : device_(device) {
    c10::cuda::set_device(device_.index());
    c10::cuda::CUDACachingAllocator::init(c10::cuda::device_count());
  }

  void synchronize() override { TPSP_CUDA(cudaDeviceSynchronize()); }
  void reset_peaks() override { c10::cuda::CUDACachingAllocator::resetPeakStats(device_.index()); }
  void release_unused() override { c10::cuda::CUDACachingAllocator::emptyCache(); }
  std::int64_t allocated_bytes() const override { return stats().allocated_bytes[aggregate].current; }
  std::int64_t peak_allocated_bytes() const override { return stats().allocated_bytes[aggregate].peak; }
  std::int64_t peak_reserved_bytes() const override { return stats().reserved_bytes[aggregate].peak; }
  std::int64_t process_bytes() const override {
    const auto memory = device_memory();
    return static_cast<std::int64_t>(memory.total - memory.free);
  }
  std::int64_t available_bytes(const World& world) const override {
    const auto free = device_memory().free;
    const auto cached = stats().reserved_bytes[aggregate].current - stats().allocated_bytes[aggregate].current;
    const int gpus = c10::cuda::device_count();
    const int ranks_here = (world.local_size() + gpus - 1) / gpus;
    return static_cast<std::int64_t>(free) / ranks_here + cached;
  }

 private:
  struct DeviceMemory {
    std::size_t free = 0;
    std::size_t total = 0;
  };
  static DeviceMemory device_memory() {
    DeviceMemory memory;
    TPSP_CUDA(cudaMemGetInfo(&memory.free, &memory.total));
    return memory;
  }
  Stats stats() const { return c10::cuda::CUDACachingAllocator::getDeviceStats(device_.index()); }

  c10::Device device_;
};

}  // namespace

std::unique_ptr<DeviceProbe> make_cuda_probe(c10::Device device) { return std::make_unique<CudaProbe>(device); }

std::string cuda_name(c10::Device device) {
  cudaDeviceProp properties{};
  TPSP_CUDA(cudaGetDeviceProperties(&properties, device.index()));
  return properties.name;
}

std::string cuda_version() {
  int version = 0;
  TPSP_CUDA(cudaRuntimeGetVersion(&version));
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return {};
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

int cuda_device_count() { return c10::cuda::device_count(); }

}  // namespace tpsp
