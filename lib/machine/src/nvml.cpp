#include "nvml.h"

#include <dlfcn.h>

namespace tpsp {
namespace {

/// As the reference of NVML's interface declares them (docs.nvidia.com/deploy/nvml-api); 0 is success.
using Device = void*;
using Init = int (*)();
using FindDevice = int (*)(const char* uuid, Device*);
using ReadKind = int (*)(Device, int kind, unsigned int* value);
using Read = int (*)(Device, unsigned int* value);
using ReadBits = int (*)(Device, unsigned long long* bits);
constexpr int clock_of_multiprocessors = 1;
constexpr int temperature_of_gpu = 0;

struct Closer {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, Closer>;

template <typename Function>
Function find(const Library& library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library.get(), name));
}

class LoadedNvml final : public Nvml {
 public:
  LoadedNvml(Library library, Device device)
      : library_(std::move(library)),
        device_(device),
        clock_(find<ReadKind>(library_, "nvmlDeviceGetClockInfo")),
        temperature_(find<ReadKind>(library_, "nvmlDeviceGetTemperature")),
        power_(find<Read>(library_, "nvmlDeviceGetPowerUsage")),
        reasons_(find<ReadBits>(library_, "nvmlDeviceGetCurrentClocksEventReasons")) {
    // its name in drivers before 535
    if (reasons_ == nullptr) reasons_ = find<ReadBits>(library_, "nvmlDeviceGetCurrentClocksThrottleReasons");
  }
  ~LoadedNvml() override {
    if (const auto shut_down = find<Init>(library_, "nvmlShutdown")) shut_down();
  }
  LoadedNvml(const LoadedNvml&) = delete;
  LoadedNvml& operator=(const LoadedNvml&) = delete;

  GpuState state() const override {
    constexpr double watts = 1e-3;
    GpuState state;
    unsigned int value = 0;
    if (clock_ != nullptr && clock_(device_, clock_of_multiprocessors, &value) == 0) state.clock_mhz = value;
    if (power_ != nullptr && power_(device_, &value) == 0) state.power_w = watts * value;
    if (temperature_ != nullptr && temperature_(device_, temperature_of_gpu, &value) == 0) state.temperature_c = value;
    unsigned long long bits = 0;
    if (reasons_ != nullptr && reasons_(device_, &bits) == 0) state.held_by = bits;
    return state;
  }

 private:
  Library library_;
  Device device_;
  ReadKind clock_;
  ReadKind temperature_;
  Read power_;
  ReadBits reasons_;
};

}  // namespace

std::unique_ptr<Nvml> Nvml::open(const std::string& uuid, const std::string& name) {
  Library library(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (!library) return nullptr;
  const auto init = find<Init>(library, "nvmlInit_v2");
  const auto find_device = find<FindDevice>(library, "nvmlDeviceGetHandleByUUID");
  Device device = nullptr;
  if (init == nullptr || find_device == nullptr || init() != 0) return nullptr;
  if (find_device(uuid.c_str(), &device) == 0) return std::make_unique<LoadedNvml>(std::move(library), device);
  if (const auto shut_down = find<Init>(library, "nvmlShutdown")) shut_down();
  return nullptr;
}

}  // namespace tpsp
