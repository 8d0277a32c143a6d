#include "device_cuda.h"

#include <ATen/cuda/CUDAContextLight.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <nccl.h>
#include <nvtx3/nvToolsExt.h>

#include <utility>

#include "nvml.h"
#include "tpsp/comm/gpus.h"
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

/// A CUDA event.
class Mark {
 public:
  Mark() { TPSP_CUDA(cudaEventCreate(&event_)); }
  ~Mark() {
    if (event_ != nullptr) cudaEventDestroy(event_);
  }
  Mark(Mark&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;

  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaProbe final : public DeviceProbe {
 public:
  explicit CudaProbe(c10::Device device) : device_(device), nvml_(Nvml::open(gpu_uuid(device))) {
    c10::cuda::set_device(device_.index());
    c10::cuda::CUDACachingAllocator::init(c10::cuda::device_count());
  }

  void synchronize() override { TPSP_CUDA(cudaDeviceSynchronize()); }
  bool is_asynchronous() const override { return true; }
  void mark() override {
    if (used_marks_ == marks_.size()) marks_.emplace_back();
    TPSP_CUDA(cudaEventRecord(marks_[used_marks_++].get(), c10::cuda::getCurrentCUDAStream(device_.index()).stream()));
  }
  std::vector<double> take_marks() override {
    constexpr double milliseconds = 1e-3;
    constexpr std::size_t of_a_model = 4096;
    std::vector<double> seconds;
    if (used_marks_ > 0) {
      TPSP_CUDA(cudaEventSynchronize(marks_[used_marks_ - 1].get()));
      seconds.push_back(0);
    }
    for (std::size_t i = 1; i < used_marks_; ++i) {
      float passed = 0;  // one mark to the next, since it is no double
      TPSP_CUDA(cudaEventElapsedTime(&passed, marks_[i - 1].get(), marks_[i].get()));
      seconds.push_back(seconds.back() + milliseconds * static_cast<double>(passed));
    }
    used_marks_ = 0;
    if (marks_.size() < of_a_model) marks_.resize(of_a_model);  // now, not between a model's kernels
    return seconds;
  }
  void open_range(const std::string& name) override { nvtxRangePushA(name.c_str()); }
  void close_range() noexcept override { nvtxRangePop(); }
  double warmup_s() const override { return 0.2; }
  std::optional<GpuState> gpu_state() const override {
    if (nvml_ == nullptr) return std::nullopt;
    return nvml_->state();
  }
  void reset_peaks() override { c10::cuda::CUDACachingAllocator::resetPeakStats(device_.index()); }
  void release_unused() override { c10::cuda::CUDACachingAllocator::emptyCache(); }
  std::int64_t release_workspaces() override {
    const auto before = allocated_bytes();
    at::cuda::clearCublasWorkspaces();
    return before - allocated_bytes();
  }
  std::int64_t allocated_bytes() const override { return stats().allocated_bytes[aggregate].current; }
  std::int64_t peak_allocated_bytes() const override { return stats().allocated_bytes[aggregate].peak; }
  std::int64_t peak_reserved_bytes() const override { return stats().reserved_bytes[aggregate].peak; }
  std::int64_t process_bytes() const override {
    const auto memory = device_memory();
    return static_cast<std::int64_t>(memory.total - memory.free);
  }
  std::optional<std::int64_t> context_bytes() const override {
    return process_bytes() - stats().reserved_bytes[aggregate].current;
  }
  std::int64_t available_bytes(World& world) const override {
    const auto free = device_memory().free;
    const auto cached = stats().reserved_bytes[aggregate].current - stats().allocated_bytes[aggregate].current;
    return static_cast<std::int64_t>(free) / ranks_on_gpu_of(gpus_of_ranks(world, device_), world.rank()) + cached;
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
  std::unique_ptr<Nvml> nvml_;  ///< null where the driver's library is not found
  std::vector<Mark> marks_;     ///< kept for the next profile
  std::size_t used_marks_ = 0;
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
