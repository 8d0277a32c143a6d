// Stands for NVIDIA's libnvidia-ml.so.1: two GPUs, one of which reports neither power nor what holds its clock.
#include <cstring>

namespace {

constexpr int ok = 0;
constexpr int not_supported = 3;
constexpr int not_found = 6;

int full = 0;
int sparse = 0;

}  // namespace

extern "C" {

int nvmlInit_v2() { return ok; }
int nvmlShutdown() { return ok; }

int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  if (std::strcmp(uuid, "GPU-full") == 0) return *device = &full, ok;
  if (std::strcmp(uuid, "GPU-sparse") == 0) return *device = &sparse, ok;
  return not_found;
}

int nvmlDeviceGetClockInfo(void* device, int kind, unsigned int* megahertz) {
  constexpr int multiprocessors = 1;
  *megahertz = kind == multiprocessors ? (device == &full ? 1410 : 990) : 7000;
  return ok;
}

int nvmlDeviceGetPowerUsage(void* device, unsigned int* milliwatts) {
  if (device == &sparse) return not_supported;
  *milliwatts = 275500;
  return ok;
}

int nvmlDeviceGetTemperature(void*, int, unsigned int* degrees) {
  *degrees = 61;
  return ok;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
  if (device == &sparse) return not_supported;
  *reasons = 0x24;
  return ok;
}

}  // extern "C"
