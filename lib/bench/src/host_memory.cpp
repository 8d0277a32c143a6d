#include "tpsp/bench/host_memory.h"

#include <algorithm>
#include <limits>

#include "control_groups.h"

namespace tpsp {
namespace {

constexpr auto unlimited = std::numeric_limits<std::int64_t>::max();  // nothing is known, so nothing is refused

std::int64_t available_in_group(const std::filesystem::path& folder) {
  const auto limit = number_in(folder / "memory.max");
  const auto current = number_in(folder / "memory.current");
  if (!limit || !current) return unlimited;
  const auto reclaimable = number_after("inactive_file", folder / "memory.stat").value_or(0);
  return *limit - (*current - reclaimable);
}

}  // namespace

std::int64_t available_in_groups(const std::filesystem::path& root, const std::string& group) {
  auto least = unlimited;
  for (const auto& folder : group_folders(root, group)) least = std::min(least, available_in_group(folder));
  return least;
}

std::int64_t available_host_bytes() {
  constexpr std::int64_t kibibyte = 1024;
  const auto machine = number_after("MemAvailable:", "/proc/meminfo");
  return std::min(machine ? *machine * kibibyte : unlimited,
                  available_in_groups("/sys/fs/cgroup", own_group("/proc/self/cgroup")));
}

}  // namespace tpsp
