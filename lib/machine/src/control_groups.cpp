#include "control_groups.h"

#include <algorithm>
#include <fstream>

#include "tpsp/core/text.h"

namespace tpsp {

std::optional<std::int64_t> number_in(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  if (file >> number) return number;
  return std::nullopt;
}

std::optional<std::int64_t> number_after(const std::string& name, const std::filesystem::path& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  for (std::string word; file >> word;) {
    if (word == name && file >> number) return number;
  }
  return std::nullopt;
}

std::string own_group(const std::filesystem::path& cgroup_file) {
  std::ifstream groups(cgroup_file);
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "/";
}

// A line is "9:cpu,memory:/job/step".
std::optional<std::string> own_group_of(const std::string& controller, const std::filesystem::path& cgroup_file) {
  std::ifstream groups(cgroup_file);
  for (std::string line; std::getline(groups, line);) {
    const auto fields = split(line, ':');
    if (fields.size() < 3) continue;
    const auto controllers = split(fields[1], ',');
    if (std::find(controllers.begin(), controllers.end(), controller) == controllers.end()) continue;
    return line.substr(fields[0].size() + fields[1].size() + 2);
  }
  return std::nullopt;
}

std::vector<std::filesystem::path> group_folders(const std::filesystem::path& root, const std::string& group) {
  std::vector<std::filesystem::path> folders{root};
  for (const auto& name : std::filesystem::path(group).relative_path()) folders.push_back(folders.back() / name);
  return folders;
}

}  // namespace tpsp
