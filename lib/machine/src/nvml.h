// NVIDIA's management library, found when the program runs: a machine without a driver has none.
#pragma once

#include <memory>
#include <string>

#include "tpsp/machine/gpu_state.h"

namespace tpsp {

/// One GPU, as NVML sees it.
class Nvml {
 public:
  /// The GPU of that UUID ("GPU-8f6c2d5a-..."); null where there is no such library, or it does not know the GPU.
  static std::unique_ptr<Nvml> open(const std::string& uuid, const std::string& name = "libnvidia-ml.so.1");
  virtual ~Nvml() = default;

  virtual GpuState state() const = 0;
};

}  // namespace tpsp
