#include "tpsp/bench/device.h"

#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <vector>

#include "tpsp/bench/memory.h"
#include "tpsp/core/error.h"
#include "tpsp/core/text.h"
#ifdef TPSP_WITH_CUDA
#include "device_cuda.h"
#endif

namespace tpsp {
namespace {

class CpuProbe final : public DeviceProbe {
 public:
  std::string name() const override { return cpu_name(); }
  void synchronize() override {}
  void reset_peaks() override {
    meter_.reset_peak();
    reset_peak_resident();
  }
  void release_unused() override { malloc_trim(0); }
  std::int64_t peak_allocated_bytes() const override { return meter_.peak_bytes(); }
  std::int64_t peak_reserved_bytes() const override { return peak_resident_bytes(); }
  std::int64_t available_bytes(const World& world) const override {
    return available_host_bytes() / world.local_size();
  }

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

namespace {

constexpr auto unlimited = std::numeric_limits<std::int64_t>::max();  // nothing is known, so nothing is refused

std::int64_t number_in(const std::string& path) {
  std::int64_t number = unlimited;
  std::ifstream file(path);
  return file >> number ? number : unlimited;  // "max" is no number
}

std::int64_t available_on_machine() {
  std::ifstream info("/proc/meminfo");
  for (std::string word; info >> word;) {
    std::int64_t kibibytes = 0;
    if (word == "MemAvailable:" && info >> kibibytes) return kibibytes * 1024;
  }
  return unlimited;
}

// What this process's control group (cgroup v2) may still take: a job's or container's limit.
std::int64_t available_in_group() {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (!line.starts_with("0::")) continue;
    const auto folder = "/sys/fs/cgroup" + line.substr(3);
    const auto limit = number_in(folder + "/memory.max");
    return limit == unlimited ? unlimited : limit - number_in(folder + "/memory.current");
  }
  return unlimited;
}

}  // namespace

std::int64_t available_host_bytes() { return std::min(available_on_machine(), available_in_group()); }

#ifdef TPSP_WITH_CUDA
std::unique_ptr<DeviceProbe> make_device_probe(c10::Device device) {
  if (device.is_cuda()) return make_cuda_probe(device);
  return std::make_unique<CpuProbe>();
}
#else
std::unique_ptr<DeviceProbe> make_device_probe(c10::Device) { return std::make_unique<CpuProbe>(); }
std::string cuda_version() { return {}; }
std::string nccl_version() { return {}; }
int cuda_device_count() { return 0; }
#endif

}  // namespace tpsp
