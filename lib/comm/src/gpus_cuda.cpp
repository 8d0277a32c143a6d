#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "tpsp/comm/gpus.h"

namespace tpsp {

std::string gpu_uuid(at::Device device) {
  if (!device.is_cuda()) return {};
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, device.index()) != cudaSuccess) return {};
  std::string digits;
  for (const char byte : properties.uuid.bytes) digits += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return fmt::format("GPU-{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4), digits.substr(12, 4),
                     digits.substr(16, 4), digits.substr(20));
}

}  // namespace tpsp
