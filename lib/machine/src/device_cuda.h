#pragma once

#include <memory>

#include "tpsp/machine/device.h"

namespace tpsp {

std::string cuda_name(c10::Device device);
std::unique_ptr<DeviceProbe> make_cuda_probe(c10::Device device);

}  // namespace tpsp
