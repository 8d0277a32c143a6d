#pragma once

#include <memory>

#include "tpsp/bench/device.h"

namespace tpsp {

std::unique_ptr<DeviceProbe> make_cuda_probe(c10::Device device);

}  // namespace tpsp
