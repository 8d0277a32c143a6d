#include "device_memory.h"

#include <vector>

namespace tpsp {

DeviceMemory device_memory_of(const Workload& work, DeviceProbe& probe, World& world) {
  probe.synchronize();
  probe.release_workspaces();
  probe.release_unused();
  probe.reset_peaks();
  work();
  probe.synchronize();
  const auto allocated = probe.peak_allocated_bytes();
  const auto reserved = probe.peak_reserved_bytes();
  const auto context = probe.context_bytes().value_or(0);
  const auto workspace = probe.release_workspaces();
  std::vector<double> mine;
  for (const auto bytes : {allocated - workspace, reserved, workspace, context}) {
    mine.push_back(static_cast<double>(bytes));
  }
  const auto largest = max_over_ranks(world, mine);
  const auto bytes = [&](std::size_t which) { return static_cast<std::int64_t>(largest.at(which)); };
  return {.allocated = bytes(0), .reserved = bytes(1), .workspace = bytes(2), .context = bytes(3)};
}

}  // namespace tpsp
