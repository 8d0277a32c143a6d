// The memory of one plan on a device whose allocator keeps what it was given.
#pragma once

#include <cstdint>

#include "tpsp/bench/protocol.h"
#include "tpsp/comm/world.h"
#include "tpsp/machine/device.h"

namespace tpsp {

/// Bytes, of the largest rank each.
struct DeviceMemory {
  std::int64_t allocated = 0;  ///< peak of live tensors, workspaces not among them
  std::int64_t reserved = 0;   ///< peak taken from the device, workspaces among it
  std::int64_t workspace = 0;  ///< that libraries keep among the live tensors
  std::int64_t context = 0;    ///< on the device beside what is reserved
};

/// Runs `work` once, untimed. The allocator has let go of what earlier work left and libraries of their workspaces,
/// which `work` is to make anew before its peak. Collective.
DeviceMemory device_memory_of(const Workload& work, DeviceProbe& probe, World& world);

}  // namespace tpsp
