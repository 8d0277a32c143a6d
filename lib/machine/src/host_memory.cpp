#include "tpsp/machine/host_memory.h"

#include <algorithm>
#include <limits>

#include "control_groups.h"

namespace tpsp {
namespace {

constexpr auto unlimited = std::numeric_limits<std::int64_t>::max();  // nothing is known, so nothing is refused

// What a version of control groups calls its files, and the pages that can be reclaimed in memory.stat.
struct GroupFiles {
  const char* limit;
  const char* current;
  const char* reclaimable;
};
constexpr GroupFiles version_2{"memory.max", "memory.current", "inactive_file"};
constexpr GroupFiles version_1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

std::int64_t available_in_group(const std::filesystem::path& folder, const GroupFiles& files) {
  const auto limit = number_in(folder / files.limit);
  const auto current = number_in(folder / files.current);
  if (!limit || !current) return unlimited;
  const auto reclaimable = number_after(files.reclaimable, folder / "memory.stat").value_or(0);
  return *limit - (*current - reclaimable);
}

// The smallest of a group and those above it.
std::int64_t available_in_groups(const std::filesystem::path& hierarchy, const std::string& group,
                                 const GroupFiles& files) {
  auto least = unlimited;
  for (const auto& folder : group_folders(hierarchy, group)) {
    least = std::min(least, available_in_group(folder, files));
  }
  return least;
}

}  // namespace

std::int64_t available_host_bytes(const std::filesystem::path& root) {
  constexpr std::int64_t kibibyte = 1024;
  const auto cgroup_file = root / "proc/self/cgroup";
  const auto groups = root / "sys/fs/cgroup";
  const auto machine = number_after("MemAvailable:", root / "proc/meminfo");
  const auto memory_group = own_group_of("memory", cgroup_file);
  return std::min({machine ? *machine * kibibyte : unlimited,
                   available_in_groups(groups, own_group(cgroup_file), version_2),
                   memory_group ? available_in_groups(groups / "memory", *memory_group, version_1) : unlimited});
}

}  // namespace tpsp
