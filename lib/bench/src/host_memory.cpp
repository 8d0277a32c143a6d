#include "tpsp/bench/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>

namespace tpsp {
namespace {

constexpr auto unlimited = std::numeric_limits<std::int64_t>::max();  // nothing is known, so nothing is refused

// The number that stands alone in a file; nothing for "max" and for a file that can not be read.
std::optional<std::int64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

// The number after `name` in a file of names and numbers.
std::optional<std::int64_t> number_after(const std::string& name, const std::filesystem::path& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  for (std::string word; file >> word;) {
    if (word == name && file >> number) return number;
  }
  return std::nullopt;
}

std::int64_t available_in_group(const std::filesystem::path& folder) {
  const auto limit = number_in(folder / "memory.max");
  const auto current = number_in(folder / "memory.current");
  if (!limit || !current) return unlimited;
  const auto reclaimable = number_after("inactive_file", folder / "memory.stat").value_or(0);
  return *limit - (*current - reclaimable);
}

std::string own_group() {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "/";
}

}  // namespace

std::int64_t available_in_groups(const std::filesystem::path& root, const std::string& group) {
  auto folder = root;
  auto least = available_in_group(folder);
  for (const auto& name : std::filesystem::path(group).relative_path()) {
    folder /= name;
    least = std::min(least, available_in_group(folder));
  }
  return least;
}

std::int64_t available_host_bytes() {
  constexpr std::int64_t kibibyte = 1024;
  const auto machine = number_after("MemAvailable:", "/proc/meminfo");
  return std::min(machine ? *machine * kibibyte : unlimited, available_in_groups("/sys/fs/cgroup", own_group()));
}

}  // namespace tpsp
