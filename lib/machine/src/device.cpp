#include "tpsp/machine/device.h"

#include <malloc.h>

#include <fstream>
#include <limits>
#include <vector>

#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#include "tpsp/machine/host_memory.h"
#include "tpsp/machine/memory.h"
#ifdef TPSP_WITH_CUDA
#include "device_cuda.h"
#endif

namespace tpsp {
namespace {

// What tensors give back is kept for the next forward, as the caching allocator does on CUDA. Otherwise each forward
// takes its pages from the system anew, or does not, as earlier allocations happen to lie: times then differ by
// more than 10% from process to process.
void keep_freed_memory() {
  constexpr int mebibyte = 1 << 20;
  mallopt(M_MMAP_MAX, 0);  // else what is larger than 32 MiB comes anew each time
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 * mebibyte);
}

class CpuProbe final : public DeviceProbe {
 public:
  CpuProbe() { keep_freed_memory(); }

  void synchronize() override {}
  void reset_peaks() override {
    meter_.reset_peak();
    reset_peak_resident();
  }
  void release_unused() override { malloc_trim(0); }
  std::int64_t allocated_bytes() const override { return meter_.current_bytes(); }
  std::int64_t peak_allocated_bytes() const override { return meter_.peak_bytes(); }
  std::optional<MemorySplit> peak_split() const override { return meter_.peak(); }
  std::int64_t peak_reserved_bytes() const override { return peak_resident_bytes(); }
  std::int64_t process_bytes() const override { return resident_set_bytes(); }
  std::int64_t available_bytes(World& world) const override { return available_host_bytes() / world.local_size(); }

 private:
  AllocationMeter meter_{c10::kCPU};
};

c10::Device cuda_device(const World& world) {
  const int count = cuda_device_count();
  if (count > 0) return {c10::kCUDA, static_cast<c10::DeviceIndex>(world.local_rank() % count)};
#ifdef TPSP_WITH_CUDA
  const char* why = "no GPU is visible";
#else
  const char* why = "this program was built without CUDA";
#endif
  throw bad_input({.where = "--device cuda",
                   .what = "CUDA is not to be had here",
                   .why = why,
                   .remedy = "use --device cpu, or see nvidia-smi and CUDA_VISIBLE_DEVICES"});
}

}  // namespace

void DeviceProbe::mark() { marks_.push_back(std::chrono::steady_clock::now()); }

std::vector<double> DeviceProbe::take_marks() {
  std::vector<double> seconds;
  for (const auto& mark : marks_) seconds.push_back(std::chrono::duration<double>(mark - marks_.front()).count());
  marks_.clear();
  return seconds;
}

std::string device_kind(c10::Device device) { return device.is_cuda() ? "cuda" : "cpu"; }

c10::Device choose_device(const std::string& name, const World& world) {
  if (name == "cpu") return c10::kCPU;
  if (name == "cuda") return cuda_device(world);
  if (name == "auto") return cuda_device_count() > 0 ? cuda_device(world) : c10::Device(c10::kCPU);
  const std::vector<std::string> names{"auto", "cpu", "cuda"};
  throw bad_input({.where = "--device", .what = "unknown device '" + name + "'", .remedy = suggest(name, names)});
}

std::string cpu_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return std::string(trim(line.substr(line.find(':') + 1)));
  }
  return "unknown CPU";
}

#ifdef TPSP_WITH_CUDA
std::string device_name(c10::Device device) { return device.is_cuda() ? cuda_name(device) : cpu_name(); }
std::unique_ptr<DeviceProbe> make_device_probe(c10::Device device) {
  if (device.is_cuda()) return make_cuda_probe(device);
  return std::make_unique<CpuProbe>();
}
#else
std::string device_name(c10::Device) { return cpu_name(); }
std::unique_ptr<DeviceProbe> make_device_probe(c10::Device) { return std::make_unique<CpuProbe>(); }
std::string cuda_version() { return {}; }
std::string nccl_version() { return {}; }
int cuda_device_count() { return 0; }
#endif

}  // namespace tpsp
